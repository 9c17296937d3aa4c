"""One run of a chain as an automaton: events in, commands out.

Invariants:
1. An agent starts only after every one of its triggers was emitted, at most ``max_attempts``
   times, and never twice at once; at most ``limits.concurrency`` agents run together.
2. Only names in an agent's own ``emits`` count, and never ``chain:start``, whatever it proposed.
3. Late, repeated and unknown events change nothing. After `FinishRun` nothing is asked for.
4. The same events always give the same commands: no clock, no randomness, ids are derived.
5. Once a run is ending (cancelled, failed) nothing new starts; it finishes when the last running
   agent has ended.

It performs nothing itself, and does not judge outputs: whoever feeds it says that a gate failed.
"""

from typing import assert_never

from ringfence.chain.words import CHAIN_COMPLETE, CHAIN_START, Agent, AgentType, Chain
from ringfence.engine.commands import (
    AskReview,
    Command,
    EmitEvent,
    FinishRun,
    RunStatus,
    StartStep,
    StartTimer,
    StopStep,
)
from ringfence.engine.events import (
    CancelRequested,
    Event,
    GateFailed,
    ReviewDecided,
    ReviewExpired,
    Started,
    StepEvent,
    StepFailed,
    StepSucceeded,
    StepTimedOut,
    TimerFired,
)
from ringfence.engine.table import ACTIVE, OCCUPYING, TABLE, Sign, State

LIMIT_TIMER = "run:limit"
MAX_REASON = 1_000  # characters of the one line that says why a run ended
MAX_TITLE = 200  # characters of a review's title


class Run:
    """The state of one run. Feed it with `handle`; carry out what it returns, in order."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._agents = {agent.name: agent for agent in chain.agents}
        self._states = dict.fromkeys(self._agents, State.WAITING)
        self._attempts = dict.fromkeys(self._agents, 0)
        self._emitted: set[str] = set()
        self._ready: list[str] = []
        self._out: list[Command] = []
        self._verdict: tuple[RunStatus, str] | None = None
        self._finished = False

    @property
    def finished(self) -> bool:
        """Say whether `FinishRun` was given."""
        return self._finished

    def state(self, agent: str) -> State:
        """Give where the agent stands. Raises KeyError for a name the chain does not have."""
        return self._states[agent]

    def handle(self, event: Event) -> list[Command]:
        """Take one event and give the commands it leads to, to be carried out in order."""
        begun = bool(self._emitted)
        if self._finished or not (begun or isinstance(event, Started | CancelRequested)):
            return []
        match event:
            case Started():
                self._begin(already=begun)
            case StepSucceeded() | StepFailed() | StepTimedOut() | GateFailed():
                self._step_ended(event)
            case ReviewDecided():
                self._reviewed(event.review, approved=event.approved)
            case ReviewExpired():
                self._reviewed(event.review, approved=False)
            case TimerFired():
                self._timer_fired(event.key)
            case CancelRequested():
                self._end(RunStatus.CANCELLED, f"cancelled by {event.by}: {event.reason}")
            case _:
                assert_never(event)
        self._settle()
        out, self._out = self._out, []
        return out

    def _begin(self, *, already: bool) -> None:
        if already:
            return
        limit = float(self._chain.limits.time_seconds)
        self._out.append(StartTimer(key=LIMIT_TIMER, seconds=limit))
        self._reach(CHAIN_START)

    def _step_ended(self, event: StepEvent) -> None:
        agent = self._agents.get(event.agent)
        if agent is None or event.attempt != self._attempts[agent.name]:
            return
        if self._move(agent.name, Sign.END) or self._states[agent.name] is not State.RUNNING:
            return
        match event:
            case StepSucceeded():
                self._succeeded(agent, event.emitted)
            case GateFailed():
                found = len(event.issues)
                self._move(agent.name, Sign.HOLD)
                self._ask(agent, f"{agent.name}: {found} issue{'' if found == 1 else 's'} found")
            case StepFailed():
                self._failed(agent, event.reason, retryable=event.retryable)
            case StepTimedOut():
                self._failed(agent, "timed out", retryable=True)
            case _:
                assert_never(event)

    def _succeeded(self, agent: Agent, proposed: tuple[str, ...]) -> None:
        if agent.type is AgentType.GATE and agent.review == "always":
            self._move(agent.name, Sign.HOLD)
            self._ask(agent, f"{agent.name}: passed, a person decides")
            return
        self._move(agent.name, Sign.PASS)
        names = agent.emits[:1] if agent.type is AgentType.GATE else tuple(dict.fromkeys(proposed))
        for name in names:
            self._emit(agent, name)

    def _failed(self, agent: Agent, reason: str, *, retryable: bool) -> None:
        attempt = self._attempts[agent.name]
        if retryable and attempt < agent.retry.max_attempts:
            self._move(agent.name, Sign.RETRY)
            key, seconds = _retry_key(agent.name, attempt), _delay(agent, attempt)
            self._out.append(StartTimer(key=key, seconds=seconds))
            return
        self._move(agent.name, Sign.GIVE_UP)
        if agent.on_error is not None and agent.on_error != CHAIN_START:
            self._out.append(EmitEvent(event=agent.on_error, by=agent.name))
            self._reach(agent.on_error)
            return
        self._end(RunStatus.FAILED, f"{agent.name}: {reason}")

    def _reviewed(self, review: str, *, approved: bool) -> None:
        agent = next((a for a in self._agents.values() if self._review_id(a.name) == review), None)
        if agent is None:
            return
        if approved:
            if self._move(agent.name, Sign.APPROVE):
                for name in agent.emits[:1]:
                    self._emit(agent, name)
        elif self._move(agent.name, Sign.DECLINE):
            if len(agent.emits) < 2:
                self._end(RunStatus.FAILED, f"{agent.name}: not approved")
            for name in agent.emits[1:2]:
                self._emit(agent, name)

    def _timer_fired(self, key: str) -> None:
        if key == LIMIT_TIMER:
            self._end(RunStatus.FAILED, "time limit of the run reached")
            return
        for name, attempt in self._attempts.items():
            if key == _retry_key(name, attempt) and self._move(name, Sign.AGAIN):
                self._ready.append(name)

    def _ask(self, agent: Agent, title: str) -> None:
        known = {AgentType.GATE, AgentType.REVIEW}
        kind = agent.type.value if agent.type in known else "output"
        review = self._review_id(agent.name)
        self._out.append(
            AskReview(review=review, agent=agent.name, kind=kind, title=title[:MAX_TITLE])
        )

    def _emit(self, agent: Agent, name: str) -> None:
        """Accept an event of this agent, unless it is not one of its own (invariant 2)."""
        if name in agent.emits and name != CHAIN_START:
            self._out.append(EmitEvent(event=name, by=agent.name))
            self._reach(name)

    def _reach(self, name: str) -> None:
        """Note that an event happened and line up the agents that waited for nothing else."""
        self._emitted.add(name)
        for agent in self._agents.values():
            if not agent.triggers or not self._emitted.issuperset(agent.triggers):
                continue
            if agent.type is AgentType.REVIEW:
                if self._move(agent.name, Sign.CONSULT):
                    self._attempts[agent.name] = 1
                    lines = agent.prompt.strip().splitlines()
                    self._ask(agent, lines[0] if lines else agent.name)
            elif self._move(agent.name, Sign.TRIGGER):
                self._ready.append(agent.name)

    def _end(self, status: RunStatus, reason: str) -> None:
        """Begin to end the run; the first reason stays."""
        if self._verdict is not None:
            return
        self._verdict = (status, " ".join(reason.split())[:MAX_REASON])
        self._ready.clear()
        for name, state in self._states.items():
            if state is State.RUNNING:
                self._out.append(StopStep(agent=name))
            self._move(name, Sign.STOP)

    def _settle(self) -> None:
        """Give out free places; finish when nothing is left to wait for."""
        while self._ready and self._occupied() < max(1, self._chain.limits.concurrency):
            name = self._ready.pop(0)
            self._move(name, Sign.GRANT)
            self._attempts[name] += 1
            self._out.append(StartStep(agent=name, attempt=self._attempts[name]))
        if self._verdict is None and not any(s in ACTIVE for s in self._states.values()):
            if CHAIN_COMPLETE in self._emitted:
                self._end(RunStatus.SUCCEEDED, "")
            else:
                self._end(RunStatus.FAILED, self._stalled())
        if self._verdict is not None and not self._occupied():
            status, reason = self._verdict
            self._finished = True
            self._out.append(FinishRun(status=status.value, reason=reason))

    def _stalled(self) -> str:
        """Say who still waits for what."""
        waits = []
        for name, state in self._states.items():
            if state is State.WAITING:
                missing = [t for t in self._agents[name].triggers if t not in self._emitted]
                waits.append(f"{name} waits for {', '.join(missing) or 'nothing it names'}")
        return f"stalled: {'; '.join(waits) or f'nobody emitted {CHAIN_COMPLETE}'}"

    def _occupied(self) -> int:
        return sum(state in OCCUPYING for state in self._states.values())

    def _move(self, name: str, sign: Sign) -> bool:
        """Move by the table; False when the table knows no such move."""
        new = TABLE.get((self._states[name], sign))
        if new is not None:
            self._states[name] = new
        return new is not None

    def _review_id(self, name: str) -> str:
        return f"{name}#{self._attempts[name]}"


def _retry_key(agent: str, attempt: int) -> str:
    """Name the timer that ends the pause after this attempt."""
    return f"retry:{agent}#{attempt}"


def _delay(agent: Agent, attempt: int) -> float:
    """Give the pause after this attempt in seconds; without jitter, so replays agree."""
    retry = agent.retry
    factor = 1 if retry.backoff == "fixed" else 2 ** min(attempt - 1, 32)
    return min(retry.initial_delay_ms * factor, retry.max_delay_ms) / 1_000
