"""Whole runs over the in-memory twin of durable execution."""

import threading
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import pytest

from ringfence.chain.errors import InputError, Refused, Unavailable
from ringfence.chain.words import AgentType, Chain, Retry
from ringfence.engine.commands import AskReview, EmitEvent, FinishRun
from ringfence.engine.conduct import CONDUCT, STEP, Conductor, RunOrder, step_id
from ringfence.engine.durable import WorkflowStatus
from ringfence.engine.events import (
    CancelRequested,
    ReviewDecided,
    StepEvent,
    StepFailed,
    StepSucceeded,
    encode_event,
)
from ringfence.store.durable.memory import MemoryEngine, MemoryJournal

DOCUMENT = "name: test"
DIGEST = sha256(DOCUMENT.encode()).hexdigest()
DEADLINE = 10.0


class Supervisor:
    """A StepPort that notes what it was asked and answers as told."""

    def __init__(self) -> None:
        self.executed: list[tuple[str, int, bool]] = []
        self.performed: list[Any] = []
        self.stopped: list[str] = []
        self.waits_for_people: list[bool] = []
        self.answers: dict[str, Callable[[int], StepEvent]] = {}
        self.broken = False
        self.changed = threading.Condition()

    def execute(self, run: str, agent: str, attempt: int, *, resumed: bool) -> StepEvent:
        """Answer as told for the agent."""
        self._note(self.executed, (agent, attempt, resumed))
        return self.answers[agent](attempt)

    def perform(self, run: str, commands: Sequence[Any]) -> None:
        """Note the commands, unless the record is broken."""
        if self.broken:
            raise Unavailable("audit-full", "no space")
        for command in commands:
            self._note(self.performed, command)

    def stop(self, run: str, agent: str) -> None:
        """Note the stop."""
        self._note(self.stopped, agent)

    def waiting(self, run: str, *, for_people: bool) -> None:
        """Note what the run waits for."""
        self.waits_for_people.append(for_people)

    def _note(self, where: list[Any], what: Any) -> None:
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the notes are so."""
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE)


class Stage:
    """One journal, one supervisor, and engines over them."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.journal = MemoryJournal()
        self.supervisor = Supervisor()
        self.engine = self.life()

    def life(self) -> MemoryEngine:
        """Give a new engine over the journal, as a new process would."""
        engine = MemoryEngine(self.journal, executor="run:r")
        Conductor(lambda data, file: self.chain, self.supervisor).register(engine)
        engine.launch()
        return engine

    def order(self, **changes: Any) -> RunOrder:
        """Give the order of the run."""
        fields = {"run": "r", "file": "t", "document": DOCUMENT, "digest": DIGEST, "at": 2e9}
        return RunOrder(**{**fields, **changes})

    def finish(self) -> Any:
        """Start the run and give how it ended."""
        self.engine.start(CONDUCT, "r", self.order().to_json())
        return self.ended()

    def ended(self, engine: MemoryEngine | None = None) -> Any:
        """Wait for the end of the run."""
        state = (engine or self.engine).wait("r", DEADLINE)
        assert state is not None
        assert state.status is WorkflowStatus.SUCCEEDED, state.error
        return state.result


@pytest.fixture
def stage(make_chain: Any) -> Iterator[Callable[..., Stage]]:
    """Give a way to build a stage; the clock limit lies in the future."""
    made: list[Stage] = []

    def build(*agents: Any, **limits: Any) -> Stage:
        chain = make_chain(*agents, **limits)
        object.__setattr__(chain, "digest", DIGEST)
        made.append(Stage(chain))
        return made[-1]

    yield build
    for one in made:
        one.engine.close()


def ok(agent: str, *emitted: str) -> Callable[[int], StepEvent]:
    """Answer with success."""
    return lambda attempt: StepSucceeded(agent=agent, attempt=attempt, emitted=emitted)


def refuse(error: Exception) -> Callable[[int], StepEvent]:
    """Answer with an exception."""

    def answer(attempt: int) -> StepEvent:
        raise error

    return answer


def finished(status: str, reason: str = "") -> dict[str, str]:
    """Write the result of a run in short."""
    return {"command": "finish-run", "status": status, "reason": reason}


def test_a_run_is_walked_from_start_to_end(stage: Any, make_agent: Any) -> None:
    """Steps run in order, events are put on record before what they start, the end comes last."""
    scene = stage(
        make_agent("a", "chain:start", "a:done"), make_agent("b", "a:done", "chain:complete")
    )
    scene.supervisor.answers = {"a": ok("a", "a:done"), "b": ok("b", "chain:complete")}
    assert scene.finish() == finished("succeeded")
    assert scene.supervisor.executed == [("a", 1, False), ("b", 1, False)]
    assert scene.supervisor.performed == [
        EmitEvent(event="a:done", by="a"),
        EmitEvent(event="chain:complete", by="b"),
        FinishRun(status="succeeded", reason=""),
    ]


def test_a_retry_waits_for_its_timer(stage: Any, make_agent: Any) -> None:
    """Unavailable is retryable; the second attempt comes after the delay."""
    retry = Retry(max_attempts=2, initial_delay_ms=5)
    scene = stage(make_agent("a", "chain:start", "chain:complete", retry=retry))
    fail = refuse(Unavailable("no-network", "try later"))
    good = ok("a", "chain:complete")
    scene.supervisor.answers = {"a": lambda attempt: (fail if attempt == 1 else good)(attempt)}
    assert scene.finish() == finished("succeeded")
    assert [attempt for _, attempt, _ in scene.supervisor.executed] == [1, 2]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refuse(Refused("isolation-missing", "no")), "a: isolation-missing: no"),
        (refuse(ZeroDivisionError("secret text")), "a: internal error"),
        (ok("b", "chain:complete"), "a: internal error"),
        (lambda attempt: StepSucceeded(agent="a", attempt=2), "a: internal error"),
        (
            lambda attempt: StepFailed(agent="a", attempt=1, retryable=True, reason="x" * 9_999),
            "a: event-invalid: event with a field of the wrong type or size",
        ),
    ],
)
def test_a_step_that_goes_wrong_fails_the_run(
    stage: Any, make_agent: Any, answer: Any, reason: str
) -> None:
    """Errors, reports about another step and reports out of bounds become a final failure."""
    scene = stage(make_agent("a", "chain:start", "chain:complete", retry=Retry(max_attempts=3)))
    scene.supervisor.answers = {"a": answer}
    assert scene.finish() == finished("failed", reason)


def test_a_person_answers_after_a_crash(stage: Any, make_agent: Any) -> None:
    """The review is asked once; the wait outlives the process; the answer counts once."""
    scene = stage(make_agent("h", "chain:start", "chain:complete", type=AgentType.REVIEW))
    scene.engine.start(CONDUCT, "r", scene.order().to_json())
    scene.supervisor.until(lambda: len(scene.supervisor.performed) == 1)
    scene.engine.crash()
    second = scene.engine = scene.life()
    yes = encode_event(ReviewDecided(review="h#1", approved=True))
    assert second.signal("r", yes, key="h#1")
    assert second.signal("r", yes, key="h#1")
    assert scene.ended() == finished("succeeded")
    asked = [c for c in scene.supervisor.performed if isinstance(c, AskReview)]
    assert 1 <= len(asked) <= 2  # twice only when the crash came before the journal had it


def test_a_wait_says_whether_only_people_can_end_it(stage: Any, make_agent: Any) -> None:
    """Not while a step runs; when nothing is left but a review, it does."""
    scene = stage(
        make_agent("a", "chain:start", "a:done"),
        make_agent("h", "a:done", "chain:complete", type=AgentType.REVIEW),
    )
    scene.supervisor.answers["a"] = ok("a", "a:done")
    scene.engine.start(CONDUCT, "r", scene.order().to_json())
    scene.supervisor.until(lambda: len(scene.supervisor.waits_for_people) == 2)
    assert scene.supervisor.waits_for_people == [False, True]


def test_an_interrupted_step_is_begun_again_and_told_so(stage: Any, make_agent: Any) -> None:
    """The finished step is not repeated, the interrupted one is, with ``resumed``."""
    scene = stage(
        make_agent("a", "chain:start", "a:done"), make_agent("b", "a:done", "chain:complete")
    )
    released = threading.Event()

    def block(attempt: int) -> StepEvent:
        released.wait(DEADLINE)
        return StepSucceeded(agent="b", attempt=attempt, emitted=("chain:complete",))

    scene.supervisor.answers = {"a": ok("a", "a:done"), "b": block}
    scene.engine.start(CONDUCT, "r", scene.order().to_json())
    scene.supervisor.until(lambda: ("b", 1, False) in scene.supervisor.executed)
    first = scene.engine
    first.crash()
    scene.engine = scene.life()
    scene.supervisor.until(lambda: ("b", 1, True) in scene.supervisor.executed)
    released.set()
    assert scene.ended() == finished("succeeded")
    assert [who for who, _, _ in scene.supervisor.executed] == ["a", "b", "b"]
    first.close()


def test_a_cancelled_run_stops_its_steps(stage: Any, make_agent: Any) -> None:
    """The step is told to stop; the run ends when it has."""
    scene = stage(make_agent("a", "chain:start", "chain:complete"))

    def until_stopped(attempt: int) -> StepEvent:
        scene.supervisor.until(lambda: scene.supervisor.stopped == ["a"])
        return StepFailed(agent="a", attempt=attempt, retryable=False, reason="stopped")

    scene.supervisor.answers = {"a": until_stopped}
    scene.engine.start(CONDUCT, "r", scene.order().to_json())
    scene.supervisor.until(lambda: bool(scene.supervisor.executed))
    scene.engine.signal("r", encode_event(CancelRequested(by="me", reason="no")), key="cancel")
    assert scene.ended() == finished("cancelled", "cancelled by me: no")


def test_a_stop_is_said_again_after_a_crash(stage: Any, make_agent: Any) -> None:
    """A stop that was given before the crash also holds for the step that recovery begins again."""
    scene = stage(make_agent("a", "chain:start", "chain:complete"))
    released = threading.Event()

    def block(attempt: int) -> StepEvent:
        released.wait(DEADLINE)
        return StepFailed(agent="a", attempt=attempt, retryable=False, reason="stopped")

    scene.supervisor.answers = {"a": block}
    scene.engine.start(CONDUCT, "r", scene.order().to_json())
    scene.supervisor.until(lambda: bool(scene.supervisor.executed))
    scene.engine.signal("r", encode_event(CancelRequested(by="me", reason="no")), key="cancel")
    scene.supervisor.until(lambda: scene.supervisor.stopped == ["a"])
    first = scene.engine
    first.crash()
    scene.engine = scene.life()
    scene.supervisor.until(lambda: scene.supervisor.stopped == ["a", "a"])
    released.set()
    assert scene.ended() == finished("cancelled", "cancelled by me: no")
    first.close()


def test_the_time_limit_counts_from_the_order(stage: Any, make_agent: Any) -> None:
    """A run whose time was up before it began ends at once, its step told to stop."""
    scene = stage(make_agent("a", "chain:start", "chain:complete"), time_seconds=1)

    def until_stopped(attempt: int) -> StepEvent:
        scene.supervisor.until(lambda: scene.supervisor.stopped == ["a"])
        return StepFailed(agent="a", attempt=attempt, retryable=False, reason="stopped")

    scene.supervisor.answers = {"a": until_stopped}
    scene.engine.start(CONDUCT, "r", scene.order(at=1_000.0).to_json())
    assert scene.ended() == finished("failed", "time limit of the run reached")


def test_a_message_that_is_no_event_is_dropped(stage: Any, make_agent: Any) -> None:
    """Nothing starts, and nothing breaks, because of it."""
    scene = stage(make_agent("h", "chain:start", "chain:complete", type=AgentType.REVIEW))
    scene.engine.start(CONDUCT, "r", scene.order().to_json())
    for number, message in enumerate((0, 1, "x", {"event": "eval"}, [])):
        scene.engine.signal("r", message, key=f"junk {number}")
    yes = encode_event(ReviewDecided(review="h#1", approved=True))
    scene.engine.signal("r", yes, key="h#1")
    assert scene.ended() == finished("succeeded")


def test_without_a_record_the_run_fails_and_its_steps_are_stopped(
    stage: Any, make_agent: Any
) -> None:
    """When nothing can be put on record nothing goes on."""
    scene = stage(make_agent("a", "chain:start", "chain:complete"))
    scene.supervisor.answers = {"a": ok("a", "chain:complete")}
    scene.supervisor.broken = True
    scene.engine.start(CONDUCT, "r", scene.order().to_json())
    state = scene.engine.wait("r", DEADLINE)
    assert state.status is WorkflowStatus.FAILED
    assert "audit-full" not in str(state.result)
    assert scene.supervisor.stopped == ["a"]


@pytest.mark.parametrize(
    "change",
    [
        {"run": "other"}, {"document": "name: other"}, {"digest": "0" * 64}, {"at": "now"},
        {"more": 1}, {"file": None},
    ],
)  # fmt: skip
def test_a_changed_order_is_refused(stage: Any, make_agent: Any, change: dict[str, Any]) -> None:
    """The payload must be this run's and the document the one that was authorised."""
    scene = stage(make_agent("a", "chain:start", "chain:complete"))
    scene.engine.start(CONDUCT, "r", {**scene.order().to_json(), **change})
    state = scene.engine.wait("r", DEADLINE)
    assert state.status is WorkflowStatus.FAILED
    assert scene.supervisor.executed == []


def test_a_loader_that_reads_another_chain_is_refused(stage: Any, make_agent: Any) -> None:
    """The loaded chain must carry the digest of the run."""
    scene = stage(make_agent("a", "chain:start", "chain:complete"))
    object.__setattr__(scene.chain, "digest", "f" * 64)
    scene.engine.start(CONDUCT, "r", scene.order().to_json())
    assert "digest" in scene.engine.wait("r", DEADLINE).error


@pytest.mark.parametrize(
    "payload",
    [
        {"run": "r", "agent": "a", "attempt": 2},
        {"run": "r", "agent": "a"},
        {"run": "r", "agent": "a", "attempt": 1, "argv": ["sh"]},
        None,
    ],
)
def test_a_changed_step_is_refused(stage: Any, make_agent: Any, payload: Any) -> None:
    """A step's payload must name the step its workflow id names."""
    scene = stage(make_agent("a", "chain:start", "chain:complete"))
    scene.engine.start(STEP, step_id("r", "a", 1), payload)
    state = scene.engine.wait(step_id("r", "a", 1), DEADLINE)
    assert state.status is WorkflowStatus.FAILED
    assert InputError.__name__ in state.error
    assert scene.supervisor.executed == []
