"""A chain in a few words, and playbooks: `>>` feeds an event, `<<` expects a command."""

from collections.abc import Callable
from typing import Any

import pytest

from ringfence.chain.errors import Position
from ringfence.chain.words import Agent, AgentType, Chain, ChainLimits
from ringfence.engine.commands import Command, StartTimer
from ringfence.engine.events import Event, Started
from ringfence.engine.run import Run

WHERE = Position(file="test.yaml", line=1, column=1)
DIGEST = "0" * 64


def agent(name: str, triggers: str, emits: str = "", **fields: Any) -> Agent:
    """Build an agent; triggers and emits are written as words with spaces."""
    return Agent(
        name=name,
        type=fields.pop("type", AgentType.SCRIPT),
        triggers=tuple(triggers.split()),
        emits=tuple(emits.split()),
        where=WHERE,
        **fields,
    )


def chain(*agents: Agent, **limits: Any) -> Chain:
    """Build a chain of these agents."""
    return Chain(
        name="test", agents=agents, limits=ChainLimits(**limits), digest=DIGEST, file="test.yaml"
    )


class Playbook:
    """Drives a run; the commands of every event must be expected one by one, all of them."""

    def __init__(self, *agents: Agent, **limits: Any) -> None:
        self.run = Run(chain(*agents, **limits))
        self.waiting: list[Command] = []

    @classmethod
    def begun(cls, *agents: Agent, **limits: Any) -> "Playbook":
        """Give the playbook of a run that has started, its time limit being no news."""
        book = cls(*agents, **limits) >> Started()
        assert isinstance(book.waiting.pop(0), StartTimer)
        return book

    def __rshift__(self, event: Event) -> "Playbook":
        assert self.waiting == [], f"before {event}, nobody expected {self.waiting}"
        self.waiting = self.run.handle(event)
        return self

    def __lshift__(self, command: Command) -> "Playbook":
        assert self.waiting, f"expected {command}, got nothing more"
        assert self.waiting.pop(0) == command
        return self

    def done(self) -> None:
        """Say that nothing more may have been asked for."""
        assert self.waiting == []


@pytest.fixture
def make_agent() -> Callable[..., Agent]:
    """Give the short way to write an agent."""
    return agent


@pytest.fixture
def make_chain() -> Callable[..., Chain]:
    """Give the short way to write a chain."""
    return chain


@pytest.fixture
def playbook() -> type[Playbook]:
    """Give the playbook class."""
    return Playbook
