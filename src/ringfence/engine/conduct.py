"""The interpreter: carries a run out over durable execution, and nothing else.

Invariants:
1. It walks a frozen chain document whose digest it checks; it holds no chain logic of its own, so
   an upgrade of the product does not strand runs that wait for a person.
2. Every effect goes through `StepPort`, journalled; on replay only what was not journalled is
   repeated. `StepPort.stop` alone is repeated on every replay, because a stop that was journalled
   must also hold for a step that recovery begins again.
3. A message that is not one of our events is dropped; a step's report about another step counts
   as a failure of that step.

It has no clock: deadlines are counted from times the context journalled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ringfence.chain.errors import InputError, RingfenceError, Unavailable
from ringfence.engine.commands import (
    AskReview,
    Command,
    EmitEvent,
    FinishRun,
    StartStep,
    StartTimer,
    StopStep,
    decode_command,
    encode_command,
)
from ringfence.engine.durable import DurableEngine, StepError, WorkflowContext
from ringfence.engine.events import (
    Event,
    Started,
    StepEvent,
    StepFailed,
    TimerFired,
    decode_event,
    encode_event,
)
from ringfence.engine.run import Run

if TYPE_CHECKING:
    from ringfence.chain.words import Chain, Json

CONDUCT = "conduct"
STEP = "step"

Load: TypeAlias = "Callable[[bytes, str], Chain]"
Recorded: TypeAlias = AskReview | EmitEvent | FinishRun


class StepPort(Protocol):
    """What the conductor needs from the supervisor. Every method may be repeated after a crash."""

    def execute(self, run: str, agent: str, attempt: int, *, resumed: bool) -> StepEvent:
        """Run one attempt of one agent to its end and report how it ended.

        With ``resumed`` a start may have happened before: reap what is left of it first. Must end
        soon after `stop`, also when `stop` came first.
        """

    def perform(self, run: str, commands: Sequence[Recorded]) -> None:
        """Put these on the record, in order, and queue what they ask for; idempotent."""

    def stop(self, run: str, agent: str) -> None:
        """Make the agent's running or coming step end; harmless when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What a run is started with: the exact chain document, its digest, and when."""

    run: str
    file: str
    document: str
    digest: str
    at: float

    def to_json(self) -> "dict[str, Json]":
        """Give the payload of the `CONDUCT` workflow; its workflow id is the run's id."""
        return {
            "run": self.run, "file": self.file, "document": self.document,
            "digest": self.digest, "at": self.at,
        }  # fmt: skip


class Conductor:
    """The two workflow functions of a run, with the doors they need."""

    def __init__(self, load: Load, steps: StepPort) -> None:
        self._load = load
        self._steps = steps

    def register(self, engine: DurableEngine) -> None:
        """Name both workflow functions at the engine."""
        engine.register(CONDUCT, self.conduct)
        engine.register(STEP, self.step)

    def conduct(self, ctx: WorkflowContext, payload: "Json") -> "Json":
        """Walk a run from its start to its end.

        Raises InputError for a payload that is not this run's, StepError when the record of what
        happens cannot be written (running steps are told to stop first).
        """
        order = _read_order(payload, ctx.id)
        chain = self._load(order.document.encode(), order.file)
        if chain.digest != order.digest:
            raise _tampered("the chain document does not have the digest of the run")
        run, timers, now = Run(chain), dict[str, float](), order.at
        commands = run.handle(Started())
        try:
            while not run.finished:
                self._carry_out(ctx, commands, timers, now)
                commands = run.handle(_next_event(ctx, timers))
                if any(isinstance(command, StartTimer) for command in commands):
                    now = ctx.now()
            self._carry_out(ctx, commands, timers, now)
        except StepError:
            for agent in chain.agents:
                self._steps.stop(ctx.id, agent.name)
            raise
        finish = commands[-1]
        return encode_command(finish)

    def _carry_out(
        self,
        ctx: WorkflowContext,
        commands: list[Command],
        timers: dict[str, float],
        now: float,
    ) -> None:
        """Record first, in one journalled step, what goes on record; then start and stop."""
        recorded = [encode_command(c) for c in commands if isinstance(c, Recorded)]
        if recorded:
            ctx.step("perform", self._perform, ctx.id, *recorded)
        for command in commands:
            match command:
                case StartStep():
                    agent, attempt = command.agent, command.attempt
                    payload: Json = {"run": ctx.id, "agent": agent, "attempt": attempt}
                    ctx.spawn(STEP, step_id(ctx.id, agent, attempt), payload)
                case StopStep():
                    self._steps.stop(ctx.id, command.agent)
                case StartTimer():
                    timers[command.key] = now + command.seconds
                case AskReview() | EmitEvent() | FinishRun():
                    pass

    def _perform(self, run: str, *commands: "Json") -> "Json":
        decoded = [decode_command(command) for command in commands]
        self._steps.perform(run, [c for c in decoded if isinstance(c, Recorded)])
        return None

    def step(self, ctx: WorkflowContext, payload: "Json") -> "Json":
        """Run one attempt of one agent and report its end to the run.

        Raises InputError for a payload that is not this step's.
        """
        run, agent, attempt = _read_step(payload, ctx.id)

        def execute() -> "Json":
            return encode_event(self._execute(run, agent, attempt, resumed=ctx.resumed))

        ctx.signal(run, ctx.step("execute", execute), key=f"{agent}#{attempt}")
        return None

    def _execute(self, run: str, agent: str, attempt: int, *, resumed: bool) -> Event:
        """Run the step; whatever goes wrong becomes an event, never an exception."""
        failed = StepFailed(agent=agent, attempt=attempt, retryable=False, reason="internal error")
        try:
            event = self._steps.execute(run, agent, attempt, resumed=resumed)
            if (event.agent, event.attempt) != (agent, attempt):
                return failed
            return decode_event(encode_event(event))
        except RingfenceError as error:
            reason = f"{error.code}: {error.message}"[:1_000]
            again = isinstance(error, Unavailable)
            return StepFailed(agent=agent, attempt=attempt, retryable=again, reason=reason)
        except Exception:  # noqa: BLE001 - an unforeseen failure of the supervisor fails the step
            return failed


def step_id(run: str, agent: str, attempt: int) -> str:
    """Give the workflow id of one attempt of one agent."""
    return f"{run}/{agent}#{attempt}"


def _next_event(ctx: WorkflowContext, timers: dict[str, float]) -> Event:
    """Wait for the next message or timer; messages that are no events are dropped."""
    while True:
        key = min(timers, key=lambda name: (timers[name], name), default=None)
        message = ctx.wait_signal(None if key is None else timers[key])
        if message is None and key is not None:
            del timers[key]
            return TimerFired(key=key)
        try:
            return decode_event(message)
        except InputError:
            continue


def _read_order(payload: "Json", run: str) -> RunOrder:
    match payload:
        case {
            "run": str(named), "file": str(file), "document": str(document),
            "digest": str(digest), "at": float() | int() as at, **rest,
        } if named == run and not rest:  # fmt: skip
            if sha256(document.encode()).hexdigest() != digest:
                raise _tampered("the chain document does not have the digest of the run")
            return RunOrder(run=named, file=file, document=document, digest=digest, at=float(at))
    raise _tampered("the payload is not this run's")


def _read_step(payload: "Json", workflow: str) -> tuple[str, str, int]:
    match payload:
        case {"run": str(run), "agent": str(agent), "attempt": int(attempt), **rest} if not rest:
            if step_id(run, agent, attempt) == workflow:
                return run, agent, attempt
    raise _tampered("the payload is not this step's")


def _tampered(what: str) -> InputError:
    return InputError("run-invalid", what, hint="the journal was changed by another program")
