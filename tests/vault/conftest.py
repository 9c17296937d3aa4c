"""Keys and contexts that the vault's tests share."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringfence.vault.envelope import Context, Key, Purpose
from ringfence.vault.secret import Secret

GENERATOR = Path(__file__).parent / "vectors" / "generate.py"


@pytest.fixture
def context() -> Context:
    """Where the tests' values belong."""
    return Context(purpose=Purpose.VALUE, org="local", secret_id="5f0c", name="token", version=3)


@pytest.fixture
def make_key() -> Callable[[int], Key]:
    """Make a key from one byte; all of them carry the same ids."""

    def make(fill: int) -> Key:
        material = Secret(bytes([fill]) * 32)
        return Key(kek_id=bytes(range(8)), dek_id=bytes(range(16, 32)), material=material)

    return make


@pytest.fixture(scope="session")
def independent() -> dict[str, Any]:
    """The functions of the independent construction behind the vectors."""
    return runpy.run_path(str(GENERATOR))
