"""What a person sees of one run, made only of what stands on the audit record.

Invariants:
1. Nothing in here comes from anywhere but the records of the run; what no record says is None,
   never guessed. (The result of checking the log is handed in beside them.)
2. Every refusal and every question is listed, with rule, reason and place; what was allowed is
   counted. A record that cannot be understood is listed as such, never dropped.
3. Text is as recorded, raw: whoever shows it passes it through `control.visible` first.

`control.reading` makes views, `control.tables` and ``apps.report`` show them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ringfence.policy.decision import Verdict


class Outcome(StrEnum):
    """How a run stands, in one word."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    REFUSED = "refused"
    WAITING = "waiting"
    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"


class ReviewState(StrEnum):
    """Where a review stands."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    INVALID = "invalid"


class ChangeState(StrEnum):
    """What became of one changed path."""

    MERGED = "merged"
    HELD = "held"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The result of checking the log: entries checked, and the first bad one with why."""

    ok: bool
    size: int
    first_bad: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputView:
    """The declared output of a step, as it was handed on."""

    name: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One thing a check or a gate reported."""

    position: int
    agent: str | None
    step: str | None
    check: str
    severity: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One attempt of one agent."""

    key: str
    agent: str
    attempt: int | None
    status: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    ms: int | None = None
    exit_code: int | None = None
    plan: str | None = None
    level: str | None = None
    backend: str | None = None
    command: str | None = None
    routes: int | None = None
    secrets: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    output: OutputView | None = None
    findings: tuple[FindingView, ...] = ()
    starts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """One member of the chain with its attempts. ``listed`` is false when run.start lacks it."""

    name: str
    type: str
    triggers: tuple[str, ...]
    emits: tuple[str, ...]
    steps: tuple[StepView, ...]
    listed: bool = True

    @property
    def status(self) -> str:
        """Give the status of the last attempt, or why there is none."""
        if not self.steps:
            return "not started"
        return self.steps[-1].status or "not finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeView:
    """One event that leads from an agent (None: the start) to another (None: the end)."""

    source: str | None
    target: str | None
    event: str
    fired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One event that was emitted or refused."""

    position: int
    time: datetime
    agent: str | None
    name: str
    emitted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """A refusal or a question; the same one asked ``times`` times is one line."""

    first: int
    last: int
    time: datetime
    times: int
    verdict: Verdict
    event: str
    agent: str | None
    subject: str | None
    rule: str | None
    reason: str | None
    where: str | None
    fix: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressView:
    """One request to the outside. ``url`` is without query values."""

    position: int
    time: datetime
    id: str
    agent: str | None
    step: str | None
    method: str
    url: str
    allowed: bool
    rule: str | None
    reason: str | None
    where: str | None
    secrets: tuple[str, ...]
    status: int | None = None
    bytes_up: int | None = None
    bytes_down: int | None = None
    ms: int | None = None
    redactions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretView:
    """What happened with one secret in this run, by name only."""

    name: str
    agents: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    leases: int = 0
    uses: int = 0
    denials: int = 0
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """One record about a changed path. ``settled`` is true for a held one decided later."""

    position: int
    agent: str | None
    path: str
    state: ChangeState
    digest: str | None
    rule: str | None
    reason: str | None
    where: str | None
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewView:
    """One question to a person. ``matches`` is None until an answer named a digest."""

    id: str
    kind: str | None = None
    title: str | None = None
    agent: str | None = None
    digest: str | None = None
    expires: str | None = None
    asked_by: str | None = None
    asked: datetime | None = None
    state: ReviewState = ReviewState.OPEN
    answered_by: str | None = None
    answered: datetime | None = None
    reason: str | None = None
    matches: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionView:
    """What was taken out of an output before it went on."""

    position: int
    agent: str | None
    output: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeView:
    """Something about the run as a whole: cancelled, resumed, refused, a weaker setting."""

    position: int
    time: datetime
    event: str
    actor: str
    text: str
    weaker: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnshownView:
    """A record the view could not place, why, and its JSON."""

    position: int
    event: str
    why: str
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run as its records tell it."""

    run: str
    chain: str | None
    file: str | None
    digest: str | None
    starter: str | None
    status: str | None
    outcome: Outcome
    started: datetime | None
    finished: datetime | None
    ms: int | None
    agents: tuple[AgentView, ...]
    edges: tuple[EdgeView, ...]
    events: tuple[EventView, ...]
    decisions: tuple[DecisionView, ...]
    allowed: int
    egress: tuple[EgressView, ...]
    secrets: tuple[SecretView, ...]
    changes: tuple[ChangeView, ...]
    reviews: tuple[ReviewView, ...]
    findings: tuple[FindingView, ...]
    redactions: tuple[RedactionView, ...]
    notices: tuple[NoticeView, ...]
    unshown: tuple[UnshownView, ...]
    first: int | None
    last: int | None
    records: int
    verification: Verification | None

    @property
    def denied(self) -> tuple[DecisionView, ...]:
        """Give the refusals, in order of the first of each."""
        return tuple(d for d in self.decisions if d.verdict is Verdict.DENY)

    @property
    def asked(self) -> tuple[DecisionView, ...]:
        """Give what waited or waits for a person."""
        return tuple(d for d in self.decisions if d.verdict is Verdict.ASK)

    @property
    def blocked(self) -> int:
        """Count the refusals, each as often as it happened."""
        return sum(d.times for d in self.denied)

    @property
    def open_reviews(self) -> tuple[ReviewView, ...]:
        """Give the reviews nobody has answered."""
        return tuple(r for r in self.reviews if r.state is ReviewState.OPEN)

    @property
    def held(self) -> tuple[ChangeView, ...]:
        """Give the changes that are neither merged nor dropped yet."""
        return tuple(c for c in self.changes if c.state is ChangeState.HELD and not c.settled)
