"""What can happen to a run: the closed set of events its automaton is fed with.

Invariants:
1. Events are facts reported by the supervisor, a person's decision or a timer; none of them is
   written by an agent. What an agent proposed stands in ``emitted`` and is only a proposal.
2. A step's event names its attempt, so a late report about an old attempt is recognised.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ringfence.engine import codec

if TYPE_CHECKING:
    from ringfence.chain.words import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The run was authorised and begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSucceeded:
    """The step ended well; ``emitted`` holds the event names its agent proposed."""

    agent: str
    attempt: int
    emitted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed:
    """The step ended badly (or did not start); ``retryable`` says whether again may help."""

    agent: str
    attempt: int
    retryable: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimedOut:
    """The step was ended because its time was up."""

    agent: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateIssue:
    """One thing a gate found."""

    type: str
    description: str
    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFailed:
    """The step ended, and what it made was judged not good enough to go on by itself."""

    agent: str
    attempt: int
    issues: tuple[GateIssue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDecided:
    """A person answered a review."""

    review: str
    approved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewExpired:
    """Nobody answered a review in time."""

    review: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A timer the run had started is due."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """A person (or an incident) wants the run to end."""

    by: str
    reason: str


Event: TypeAlias = (
    Started
    | StepSucceeded
    | StepFailed
    | StepTimedOut
    | GateFailed
    | ReviewDecided
    | ReviewExpired
    | TimerFired
    | CancelRequested
)
StepEvent: TypeAlias = StepSucceeded | StepFailed | StepTimedOut | GateFailed

EVENTS: dict[str, type[Event]] = {
    "started": Started,
    "step-succeeded": StepSucceeded,
    "step-failed": StepFailed,
    "step-timed-out": StepTimedOut,
    "gate-failed": GateFailed,
    "review-decided": ReviewDecided,
    "review-expired": ReviewExpired,
    "timer-fired": TimerFired,
    "cancel-requested": CancelRequested,
}


def encode_event(event: Event) -> "dict[str, Json]":
    """Give the event as the JSON object that `decode_event` reads."""
    return codec.encode(event, EVENTS, "event")


def decode_event(value: "Json") -> Event:
    """Read an event from untrusted JSON. Raises InputError unless it is exactly one of ours."""
    return codec.decode(value, EVENTS, "event")
