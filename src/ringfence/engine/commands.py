"""What a run asks for: the closed set of commands its automaton answers with.

Invariants:
1. A command carries names and numbers only: no secret, no agent output, no path.
2. Carrying one out twice must be harmless for the one who does it: after a crash the last batch
   is repeated.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from ringfence.engine import codec

if TYPE_CHECKING:
    from ringfence.chain.words import Json


class RunStatus(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartStep:
    """Run this agent now."""

    agent: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskReview:
    """Queue a human decision. ``review`` is unique within the run and the same on every replay."""

    review: str
    agent: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimer:
    """Report `TimerFired` with this key after so many seconds."""

    key: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStep:
    """End this agent's running step; its end is still reported."""

    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitEvent:
    """Put on the record that this event happened, because of this agent."""

    event: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishRun:
    """The run is over; nothing follows. ``reason`` is one line, empty for a success."""

    status: str
    reason: str


Command: TypeAlias = StartStep | AskReview | StartTimer | StopStep | EmitEvent | FinishRun

COMMANDS: dict[str, type[Command]] = {
    "start-step": StartStep,
    "ask-review": AskReview,
    "start-timer": StartTimer,
    "stop-step": StopStep,
    "emit-event": EmitEvent,
    "finish-run": FinishRun,
}


def encode_command(command: Command) -> "dict[str, Json]":
    """Give the command as the JSON object that `decode_command` reads."""
    return codec.encode(command, COMMANDS, "command")


def decode_command(value: "Json") -> Command:
    """Read a command from untrusted JSON. Raises InputError unless it is exactly one of ours."""
    return codec.decode(value, COMMANDS, "command")
