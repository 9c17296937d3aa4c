"""Ways to say a chain and what is wrong with it in one line of a test."""

from collections.abc import Callable
from textwrap import dedent

import pytest

from ringfence.chain.document import read
from ringfence.chain.errors import InputError
from ringfence.chain.parse import ChainRejected, parse
from ringfence.chain.words import Agent, Chain

Faults = list[str]

ONE = """\
name: one
agents:
  - name: only
    prompt: Do it.
    triggers: [chain:start]
    emits: [chain:complete]
"""


@pytest.fixture
def one() -> str:
    """Give the smallest chain as YAML; lines can be appended to its only agent."""
    return ONE


@pytest.fixture
def load() -> Callable[..., Chain]:
    """Parse text as a chain."""

    def parsed(text: str, file: str = "chain.yaml", **variables: str) -> Chain:
        return parse(dedent(text).encode(), file=file, variables=variables)

    return parsed


@pytest.fixture
def only(load: Callable[..., Chain]) -> Callable[..., Agent]:
    """Parse the smallest chain with more lines for its only agent; give the agent."""

    def parsed(*lines: str) -> Agent:
        return load(ONE + "".join(f"    {line}\n" for line in lines)).agents[0]

    return parsed


@pytest.fixture
def faults() -> Callable[..., Faults]:
    """Parse text that must be rejected; give its errors as ``code line:column``."""

    def rejected(text: str | bytes, file: str = "chain.yaml", **variables: str) -> Faults:
        data = text if isinstance(text, bytes) else dedent(text).encode()
        with pytest.raises(ChainRejected) as caught:
            parse(data, file=file, variables=variables)
        return [said(error) for error in caught.value.errors]

    return rejected


@pytest.fixture
def only_faults(faults: Callable[..., Faults]) -> Callable[..., Faults]:
    """Give the errors of the smallest chain with more lines for its only agent.

    The first of the added lines is line 7; their text begins in column 5.
    """

    def rejected(*lines: str) -> Faults:
        return faults(ONE + "".join(f"    {line}\n" for line in lines))

    return rejected


@pytest.fixture
def refused() -> Callable[..., str]:
    """Read bytes that are no document; give the error as ``code line:column``."""

    def rejected(data: bytes, file: str) -> str:
        with pytest.raises(InputError) as caught:
            read(data, file=file)
        return said(caught.value)

    return rejected


def said(error: InputError) -> str:
    """Give an error as ``code line:column``."""
    assert error.where is not None
    return f"{error.code} {error.where.line}:{error.where.column}"
