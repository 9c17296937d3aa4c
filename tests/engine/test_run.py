"""Playbooks of the run automaton."""

from types import SimpleNamespace
from typing import Any

import pytest

from ringfence.chain.words import AgentType, Retry
from ringfence.engine.commands import (
    AskReview,
    EmitEvent,
    FinishRun,
    StartStep,
    StartTimer,
    StopStep,
)
from ringfence.engine.events import (
    CancelRequested,
    GateFailed,
    GateIssue,
    ReviewDecided,
    ReviewExpired,
    Started,
    StepFailed,
    StepSucceeded,
    StepTimedOut,
    TimerFired,
)
from ringfence.engine.run import LIMIT_TIMER
from ringfence.engine.table import State

ISSUE = GateIssue(type="tone", description="too loud", severity="high")
SUCCEEDED = FinishRun(status="succeeded", reason="")


def start(agent: str, attempt: int = 1) -> StartStep:
    """Write a start in short."""
    return StartStep(agent=agent, attempt=attempt)


def ok(agent: str, *emitted: str, attempt: int = 1) -> StepSucceeded:
    """Write a success in short."""
    return StepSucceeded(agent=agent, attempt=attempt, emitted=emitted)


def bad(agent: str, attempt: int = 1, *, retryable: bool = False) -> StepFailed:
    """Write a failure in short."""
    return StepFailed(agent=agent, attempt=attempt, retryable=retryable, reason="broke")


def emit(event: str, by: str) -> EmitEvent:
    """Write an emitted event in short."""
    return EmitEvent(event=event, by=by)


def failed(reason: str) -> FinishRun:
    """Write a failed run in short."""
    return FinishRun(status="failed", reason=reason)


@pytest.fixture
def words(make_agent: Any, playbook: Any) -> SimpleNamespace:
    """Give the agents several playbooks share."""
    return SimpleNamespace(
        only=make_agent("a", "chain:start", "chain:complete"),
        gate=make_agent("g", "chain:start", "chain:complete g:no", type=AgentType.GATE),
        human=make_agent(
            "h", "chain:start", "chain:complete", type=AgentType.REVIEW, prompt="Ship it?\nSure?"
        ),
        agent=make_agent,
        begun=playbook.begun,
        book=playbook,
    )


def test_a_chain_of_one_runs_and_completes(words: Any) -> None:
    """The first event starts the agent, its event completes the run; the time limit is set."""
    book = words.book(words.only, time_seconds=60) >> Started()
    book << StartTimer(key=LIMIT_TIMER, seconds=60.0) << start("a")
    book >> ok("a", "chain:complete") << emit("chain:complete", "a") << SUCCEEDED
    book.done()
    assert book.run.finished
    assert book.run.state("a") is State.DONE


def test_agents_follow_each_other(words: Any) -> None:
    """The second agent starts when the first has emitted its trigger, not before."""
    book = words.begun(
        words.agent("a", "chain:start", "a:done"), words.agent("b", "a:done", "chain:complete")
    )
    book << start("a")
    book >> ok("a", "a:done") << emit("a:done", "a") << start("b")
    book >> ok("b", "chain:complete") << emit("chain:complete", "b") << SUCCEEDED
    book.done()


def test_one_event_starts_several_and_one_agent_waits_for_all(words: Any) -> None:
    """Fan out goes to everybody who waits; fan in waits for the last."""
    book = words.begun(
        words.agent("a", "chain:start", "a:done"),
        words.agent("b", "chain:start", "b:done"),
        words.agent("c", "a:done b:done", "chain:complete"),
    )
    book << start("a") << start("b")
    book >> ok("b", "b:done") << emit("b:done", "b")
    book >> ok("a", "a:done") << emit("a:done", "a") << start("c")
    book >> ok("c", "chain:complete") << emit("chain:complete", "c") << SUCCEEDED
    book.done()


def test_places_are_limited_and_given_in_order(words: Any) -> None:
    """With one place the others start one after the other, in the order of the file."""
    agents = [words.agent(n, "chain:start", f"{n}:done") for n in ("a", "b", "c")]
    last = words.agent("z", "a:done b:done c:done", "chain:complete")
    book = words.begun(*agents, last, concurrency=1) << start("a")
    book >> ok("a", "a:done") << emit("a:done", "a") << start("b")
    book >> ok("b", "b:done") << emit("b:done", "b") << start("c")
    book >> ok("c", "c:done") << emit("c:done", "c") << start("z")
    book.done()


def test_a_chain_with_no_place_still_has_one(words: Any) -> None:
    """A concurrency below one would never start anything; it means one."""
    words.begun(words.only, concurrency=0) << start("a")


def test_only_an_agents_own_events_count(words: Any) -> None:
    """A proposed event that is not in `emits` starts nothing, nor does `chain:start`."""
    book = words.begun(
        words.agent("a", "chain:start", "a:done chain:start"),
        words.agent("b", "review:approved", "chain:complete"),
        words.agent("c", "a:done", "chain:complete"),
    )
    book << start("a")
    book >> ok("a", "review:approved", "chain:start", "a:done", "a:done")
    book << emit("a:done", "a") << start("c")
    book.done()
    assert book.run.state("b") is State.WAITING


def test_an_agent_without_triggers_never_starts(words: Any) -> None:
    """Waiting for nothing does not mean starting at once."""
    book = words.begun(words.only, words.agent("b", "", "b:done")) << start("a")
    book >> bad("a") << failed("a: broke")
    book.done()


def test_a_stalled_run_says_who_waits_for_what(words: Any) -> None:
    """When nothing can go on the run fails and names the missing events."""
    book = words.begun(
        words.agent("a", "chain:start", "a:done"),
        words.agent("b", "a:done other", "chain:complete"),
        words.agent("c", "", "x"),
    )
    book << start("a")
    book >> ok("a", "a:done") << emit("a:done", "a")
    book << failed("stalled: b waits for other; c waits for nothing it names")
    book.done()


def test_a_run_in_which_nobody_completes_is_stalled(words: Any) -> None:
    """Every agent is done and `chain:complete` never came."""
    book = words.begun(words.only) << start("a")
    book >> ok("a") << failed("stalled: nobody emitted chain:complete")


def test_a_completed_run_waits_for_those_who_still_run(words: Any) -> None:
    """`chain:complete` ends the run only when nobody runs, pauses or is reviewed."""
    book = words.begun(words.only, words.agent("b", "chain:start", "b:done"))
    book << start("a") << start("b")
    book >> ok("a", "chain:complete") << emit("chain:complete", "a")
    book >> ok("b") << SUCCEEDED


def test_a_retryable_failure_is_tried_again_after_a_growing_delay(words: Any) -> None:
    """Exponential delays, bounded, then the run fails with the reason."""
    retry = Retry(max_attempts=4, initial_delay_ms=1_000, max_delay_ms=3_000)
    book = words.begun(words.agent("a", "chain:start", "chain:complete", retry=retry))
    book << start("a")
    for attempt, seconds in ((1, 1.0), (2, 2.0), (3, 3.0)):
        key = f"retry:a#{attempt}"
        book >> bad("a", attempt, retryable=True) << StartTimer(key=key, seconds=seconds)
        book >> TimerFired(key=key) << start("a", attempt + 1)
    book >> bad("a", 4, retryable=True) << failed("a: broke")
    book.done()


def test_a_fixed_delay_does_not_grow(words: Any) -> None:
    """`fixed` waits the initial delay each time; a time-out may be tried again."""
    retry = Retry(max_attempts=3, backoff="fixed", initial_delay_ms=500)
    book = words.begun(words.agent("a", "chain:start", "chain:complete", retry=retry))
    book << start("a")
    for attempt in (1, 2):
        key = f"retry:a#{attempt}"
        timed_out = StepTimedOut(agent="a", attempt=attempt)
        book >> timed_out << StartTimer(key=key, seconds=0.5)
        book >> TimerFired(key=key) << start("a", attempt + 1)
    book >> StepTimedOut(agent="a", attempt=3) << failed("a: timed out")


def test_a_final_failure_is_not_tried_again(words: Any) -> None:
    """Bad input or a refusal stays what it is, whatever `retry` says."""
    retry = Retry(max_attempts=5)
    book = words.begun(words.agent("a", "chain:start", "chain:complete", retry=retry))
    book << start("a")
    book >> bad("a") << failed("a: broke")


def test_a_pausing_agent_leaves_its_place(words: Any) -> None:
    """While one waits for its next attempt another may run."""
    first = words.agent("a", "chain:start", "a:done", retry=Retry(max_attempts=2))
    book = words.begun(first, words.agent("b", "chain:start", "b:done"), concurrency=1)
    book << start("a")
    book >> bad("a", retryable=True) << StartTimer(key="retry:a#1", seconds=1.0) << start("b")
    book >> TimerFired(key="retry:a#1")
    book >> ok("b", "b:done") << emit("b:done", "b") << start("a", 2)
    book.done()


def test_on_error_lets_a_fallback_take_over(words: Any) -> None:
    """The event of `on_error` is emitted and the run goes on."""
    book = words.begun(
        words.agent("a", "chain:start", "a:done", on_error="a:failed"),
        words.agent("b", "a:failed", "chain:complete"),
    )
    book << start("a")
    book >> bad("a") << emit("a:failed", "a") << start("b")
    book >> ok("b", "chain:complete") << emit("chain:complete", "b") << SUCCEEDED


def test_on_error_cannot_start_the_chain_again(words: Any) -> None:
    """`chain:start` is nobody's to emit."""
    book = words.begun(words.agent("a", "chain:start", "a:done", on_error="chain:start"))
    book << start("a")
    book >> bad("a") << failed("a: broke")


def test_a_failed_run_stops_the_others_and_waits_for_their_end(words: Any) -> None:
    """The first reason stays; what still runs is stopped, what waits never starts."""
    book = words.begun(
        words.agent("a", "chain:start", "a:done"),
        words.agent("b", "chain:start", "b:done"),
        words.agent("c", "chain:start", "c:done"),
        concurrency=2,
    )
    book << start("a") << start("b")
    book >> bad("a") << StopStep(agent="b")
    book >> CancelRequested(by="me", reason="too late")
    book >> ok("b", "b:done") << failed("a: broke")
    book.done()
    assert book.run.state("c") is State.STOPPED


def test_a_passing_gate_emits_its_first_event(words: Any) -> None:
    """Whatever the gate's own words were, passing means the first of its events."""
    book = words.begun(words.gate) << start("g")
    book >> ok("g", "g:no") << emit("chain:complete", "g") << SUCCEEDED


def test_a_failing_gate_asks_a_person(words: Any) -> None:
    """The person's yes counts as passing."""
    book = words.begun(words.gate) << start("g")
    ask = AskReview(review="g#1", agent="g", kind="gate", title="g: 1 issue found")
    book >> GateFailed(agent="g", attempt=1, issues=(ISSUE,)) << ask
    book >> ReviewDecided(review="g#1", approved=True)
    book << emit("chain:complete", "g") << SUCCEEDED


@pytest.mark.parametrize(
    "answer", [ReviewDecided(review="g#1", approved=False), ReviewExpired(review="g#1")]
)
def test_a_gate_that_is_not_approved_emits_its_second_event(words: Any, answer: Any) -> None:
    """No and no answer are the same."""
    book = words.begun(words.gate, words.agent("b", "g:no", "chain:complete")) << start("g")
    ask = AskReview(review="g#1", agent="g", kind="gate", title="g: 2 issues found")
    book >> GateFailed(agent="g", attempt=1, issues=(ISSUE, ISSUE)) << ask
    book >> answer << emit("g:no", "g") << start("b")


def test_a_gate_that_always_asks(words: Any) -> None:
    """`review: always` sends even a passing gate to a person; no second event: the run fails."""
    gate = words.agent("g", "chain:start", "g:ok", type=AgentType.GATE, review="always")
    book = words.begun(gate) << start("g")
    title = "g: passed, a person decides"
    book >> ok("g") << AskReview(review="g#1", agent="g", kind="gate", title=title)
    book >> ReviewExpired(review="g#1") << failed("g: not approved")


def test_a_review_agent_asks_directly_and_takes_no_place(words: Any) -> None:
    """A review runs no step; its title is the first line of its prompt."""
    book = words.begun(words.human, words.agent("b", "chain:start", "b:done"), concurrency=1)
    book << AskReview(review="h#1", agent="h", kind="review", title="Ship it?") << start("b")
    book >> ok("b", "b:done") << emit("b:done", "b")
    book >> ReviewDecided(review="h#1", approved=True)
    book << emit("chain:complete", "h") << SUCCEEDED


def test_a_review_without_words_is_named_after_its_agent(words: Any) -> None:
    """And one without events, approved, emits nothing."""
    book = words.begun(words.agent("h", "chain:start", type=AgentType.REVIEW))
    book << AskReview(review="h#1", agent="h", kind="review", title="h")
    book >> ReviewDecided(review="h#1", approved=True)
    book << failed("stalled: nobody emitted chain:complete")


def test_an_output_that_is_held_goes_to_a_person(words: Any) -> None:
    """The checks of any agent's output may hold it."""
    book = words.begun(words.only) << start("a")
    ask = AskReview(review="a#1", agent="a", kind="output", title="a: 0 issues found")
    book >> GateFailed(agent="a", attempt=1) << ask
    book >> ReviewDecided(review="a#1", approved=True) << emit("chain:complete", "a") << SUCCEEDED


def test_cancelling_stops_what_runs_and_then_finishes(words: Any) -> None:
    """Nothing new starts; the run is cancelled when the last step has ended."""
    book = words.begun(words.only, words.human, words.agent("b", "x", "y"))
    book << AskReview(review="h#1", agent="h", kind="review", title="Ship it?") << start("a")
    book >> CancelRequested(by="me", reason="wrong\nbranch") << StopStep(agent="a")
    book >> ReviewDecided(review="h#1", approved=True)
    book >> ok("a", "chain:complete")
    book << FinishRun(status="cancelled", reason="cancelled by me: wrong branch")
    book >> ok("a", "chain:complete")
    book >> Started()
    book.done()


def test_cancelling_before_the_start_or_between_steps_finishes_at_once(words: Any) -> None:
    """There is nothing to wait for."""
    end = FinishRun(status="cancelled", reason="cancelled by me: no")
    words.book(words.only) >> CancelRequested(by="me", reason="no") << end
    paused = words.agent("a", "chain:start", "chain:complete", retry=Retry(max_attempts=2))
    book = words.begun(paused) << start("a")
    book >> bad("a", retryable=True) << StartTimer(key="retry:a#1", seconds=1.0)
    book >> CancelRequested(by="me", reason="no") << end


def test_the_time_limit_ends_the_run(words: Any) -> None:
    """The run's own timer fails it."""
    book = words.begun(words.only) << start("a")
    book >> TimerFired(key=LIMIT_TIMER) << StopStep(agent="a")
    book >> StepTimedOut(agent="a", attempt=1) << failed("time limit of the run reached")


def test_late_repeated_and_unknown_events_change_nothing(words: Any) -> None:
    """Everything may arrive twice, too late, or about nobody."""
    retry = Retry(max_attempts=2)
    book = words.begun(words.agent("a", "chain:start", "chain:complete", retry=retry), words.human)
    book << AskReview(review="h#1", agent="h", kind="review", title="Ship it?") << start("a")
    book >> Started()
    book >> ok("nobody", "chain:complete")
    book >> ok("a", "chain:complete", attempt=2)
    book >> bad("a", retryable=True) << StartTimer(key="retry:a#1", seconds=1.0)
    book >> bad("a", retryable=True)
    book >> ok("a", "chain:complete")
    book >> TimerFired(key="retry:a#7")
    book >> TimerFired(key="retry:a#1") << start("a", 2)
    book >> TimerFired(key="retry:a#1")
    book >> bad("a", 1, retryable=True)
    book >> ReviewDecided(review="a#2", approved=True)
    book >> ReviewDecided(review="nobody#1", approved=True)
    book >> ReviewExpired(review="a#2")
    book >> ok("a", "chain:complete", attempt=2) << emit("chain:complete", "a")
    book >> ReviewDecided(review="h#1", approved=True)
    book << emit("chain:complete", "h") << SUCCEEDED
    book >> ReviewExpired(review="h#1")
    book.done()


def test_nothing_happens_before_the_start(words: Any) -> None:
    """An event that comes first is not the start."""
    book = words.book(words.only) >> ok("a", "chain:complete") >> TimerFired(key=LIMIT_TIMER)
    book.done()


def test_a_long_reason_is_cut(words: Any) -> None:
    """The line that says why a run ended is bounded, whatever the step reported."""
    book = words.begun(words.only) << start("a")
    event = StepFailed(agent="a", attempt=1, retryable=False, reason="x" * 4_000)
    (finish,) = book.run.handle(event) if not book.waiting else ()
    assert len(finish.reason) == 1_000
