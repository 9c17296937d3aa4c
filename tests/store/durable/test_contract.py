"""What every durable engine keeps; the same tests run on the twin and on DBOS."""

import threading
import time
from typing import Any

import pytest

from ringfence.chain.errors import InputError
from ringfence.engine.durable import MAX_PAYLOAD, StepError, WorkflowStatus

DEADLINE = 20.0


def until(condition: Any) -> None:
    """Wait until something holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def result(engine: Any, id_: str) -> Any:
    """Give the result of a workflow that succeeds."""
    state = engine.wait(id_, DEADLINE)
    assert state is not None
    assert state.status is WorkflowStatus.SUCCEEDED, state.error
    return state.result


def test_steps_run_in_order_and_only_json_crosses(lives: Any) -> None:
    """Arguments and results are copies of JSON; tuples arrive as lists."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        first = ctx.step("double", lambda x: x * 2, payload["n"])
        return [first, ctx.step("pair", lambda: (first, ctx.id)), ctx.resumed]

    engine = lives.begin()
    engine.start("work", "w", {"n": 21})
    assert result(engine, "w") == [42, [42, "w"], False]


def test_a_workflow_is_started_once_per_id(lives: Any) -> None:
    """A second start of the same id changes nothing."""
    runs: list[Any] = []

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        return ctx.step("note", lambda: runs.append(payload))

    engine = lives.begin()
    engine.start("work", "w", 1)
    result(engine, "w")
    engine.start("work", "w", 2)
    result(engine, "w")
    assert runs == [1]


def test_an_unknown_workflow_is_refused(lives: Any) -> None:
    """Only registered names can be started."""
    engine = lives.begin()
    with pytest.raises(InputError, match="nothing"):
        engine.start("nothing", "w", None)
    assert engine.status("w") is None


@pytest.mark.parametrize("value", ["x" * MAX_PAYLOAD, float("nan"), {1, 2}])
def test_what_is_no_json_or_too_large_does_not_cross(lives: Any, value: Any) -> None:
    """Neither a payload, nor a message, nor a step's result."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        return ctx.step("big", lambda: value)

    engine = lives.begin()
    engine.start("work", "w", None)
    state = engine.wait("w", DEADLINE)
    assert state.status is WorkflowStatus.FAILED
    with pytest.raises(InputError):
        engine.start("work", "x", value)
    with pytest.raises(InputError):
        engine.signal("w", value, key="k")
    assert engine.status("x") is None


def test_null_is_no_message(lives: Any) -> None:
    """It could not be told from a time-out."""
    engine = lives.begin()
    with pytest.raises(InputError, match="null"):
        engine.signal("w", None, key="k")


def test_a_large_payload_within_the_cap_crosses(lives: Any) -> None:
    """A chain document of several hundred kilobytes is no problem."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        return len(payload)

    engine = lives.begin()
    engine.start("work", "w", "x" * 900_000)
    assert result(engine, "w") == 900_000


def test_a_finished_step_is_not_run_again(lives: Any) -> None:
    """After a restart the journal answers; the unfinished wait goes on."""
    runs: list[str] = []

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        for name in ("one", "two"):
            ctx.step(name, lambda name=name: runs.append(name))
        return [ctx.wait_signal(), ctx.resumed]

    engine = lives.begin()
    engine.start("work", "w", None)
    until(lambda: runs == ["one", "two"])
    engine = lives.begin()
    assert engine.status("w").status is WorkflowStatus.PENDING
    engine.signal("w", "go", key="k")
    assert result(engine, "w") == ["go", True]
    assert runs == ["one", "two"]


def test_a_raising_step_raises_the_same_on_replay(lives: Any) -> None:
    """The exception is journalled as data and raised again, without running the step."""
    runs: list[int] = []
    seen: list[str] = []

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        def fail() -> Any:
            runs.append(1)
            raise KeyError("gone")

        try:
            ctx.step("fail", fail)
        except StepError as error:
            seen.append(str(error))
        return ctx.wait_signal()

    engine = lives.begin()
    engine.start("work", "w", None)
    until(lambda: seen)
    engine = lives.begin()
    engine.signal("w", 1, key="k")
    result(engine, "w")
    assert runs == [1]
    assert seen == ["KeyError: 'gone'"] * 2


def test_a_raising_workflow_fails_with_its_reason(lives: Any) -> None:
    """The state names the exception; there is no result."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        raise ValueError("no good")

    engine = lives.begin()
    engine.start("work", "w", None)
    state = engine.wait("w", DEADLINE)
    assert (state.status, state.result) == (WorkflowStatus.FAILED, None)
    assert state.error == "ValueError: no good"


def test_signals_keep_their_order_and_count_once(lives: Any) -> None:
    """The messages of one sender arrive in order; a key that was seen is ignored."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        return [ctx.wait_signal() for _ in range(6)]

    engine = lives.begin()
    engine.start("work", "w", None)
    for number in (0, 1, 1, 2, 0, 3, 4, 5):
        assert engine.signal("w", number, key=f"z{9 - number}")
    assert result(engine, "w") == [0, 1, 2, 3, 4, 5]
    assert engine.signal("w", 9, key="late")
    assert engine.signal("nobody", 9, key="k") is False


def test_a_wait_ends_at_its_deadline_and_the_next_one_goes_on(lives: Any) -> None:
    """Two waits: the first runs out, the second gets the message."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        first = ctx.wait_signal(ctx.now() + 0.02)
        ctx.spawn("tell", "t", None)
        return [first, ctx.wait_signal(ctx.now() + DEADLINE), ctx.wait_signal(0.0)]

    @lives.workflow
    def tell(ctx: Any, payload: Any) -> Any:
        ctx.signal("w", "now", key="t")
        ctx.signal("nobody", "now", key="t")
        return None

    engine = lives.begin()
    engine.start("work", "w", None)
    assert result(engine, "w") == [None, "now", None]


def test_two_workflows_wait_at_the_same_time(lives: Any) -> None:
    """A message wakes the one it is for."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        return ctx.wait_signal()

    engine = lives.begin()
    engine.start("work", "v", None)
    engine.start("work", "w", None)
    engine.signal("w", "for w", key="k")
    assert result(engine, "w") == "for w"
    assert engine.status("v").status is WorkflowStatus.PENDING
    engine.signal("v", "for v", key="k")
    assert result(engine, "v") == "for v"


def test_spawned_workflows_run_beside_their_parent_and_once(lives: Any) -> None:
    """Spawning is journalled: a replay does not spawn again."""
    runs: list[str] = []

    @lives.workflow
    def parent(ctx: Any, payload: Any) -> Any:
        for name in ("a", "b"):
            ctx.spawn("child", f"p/{name}", {"name": name})
        return [*sorted([ctx.wait_signal(), ctx.wait_signal()]), ctx.wait_signal()]

    @lives.workflow
    def child(ctx: Any, payload: Any) -> Any:
        ctx.step("run", lambda: runs.append(payload["name"]))
        ctx.signal("p", payload["name"], key=ctx.id)
        return None

    engine = lives.begin()
    engine.start("parent", "p", None)
    until(lambda: all((s := engine.status(f"p/{n}")) and s.status.value != "pending" for n in "ab"))
    engine = lives.begin()
    engine.signal("p", "end", key="end")
    assert result(engine, "p") == ["a", "b", "end"]
    assert sorted(runs) == ["a", "b"]
    assert [(s.id, s.workflow) for s in engine.list_workflows()] == [
        ("p", "parent"), ("p/a", "child"), ("p/b", "child"),
    ]  # fmt: skip


def test_time_and_sleep_are_journalled(lives: Any) -> None:
    """The same times come back on replay, and what was slept is not slept again."""
    seen: list[Any] = []

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        before = ctx.now()
        ctx.sleep(0.05)
        seen.append([before, ctx.now()])
        return ctx.wait_signal()

    engine = lives.begin()
    engine.start("work", "w", None)
    until(lambda: len(seen) == 1)
    engine = lives.begin()
    until(lambda: len(seen) == 2)
    assert seen[0] == seen[1]
    assert seen[0][1] - seen[0][0] >= 0.045


def test_a_cancelled_workflow_ends_and_stays_ended(lives: Any) -> None:
    """A wait is ended by cancelling; neither a message nor a restart revives it."""
    ends: list[str] = []

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        ctx.sleep(0.0 if payload == "wait" else 3_600)
        ctx.wait_signal()
        ends.append(ctx.id)
        return None

    engine = lives.begin()
    engine.start("work", "wait", "wait")
    engine.start("work", "sleep", "sleep")
    engine.cancel("wait")
    engine.cancel("sleep")
    engine.cancel("nobody")
    assert engine.wait("wait", DEADLINE).status is WorkflowStatus.CANCELLED
    engine = lives.begin()
    engine.signal("wait", 1, key="k")
    assert engine.wait("sleep", DEADLINE).status is WorkflowStatus.CANCELLED
    assert engine.recover(["run:1"]) == []
    assert ends == []


def test_an_ended_workflow_is_not_cancelled_any_more(lives: Any) -> None:
    """Its result stays."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        return "done"

    engine = lives.begin()
    engine.start("work", "w", None)
    result(engine, "w")
    engine.cancel("w")
    assert result(engine, "w") == "done"


def test_a_closed_engine_leaves_waits_pending_and_its_threads_end(lives: Any) -> None:
    """Closing is no answer: the wait is still open in the next life."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        return ctx.wait_signal(ctx.now() + DEADLINE)

    before = threading.active_count()
    engine = lives.begin()
    engine.start("work", "w", None)
    engine.close()
    engine.close()
    until(lambda: threading.active_count() <= before)
    engine = lives.begin()
    assert engine.wait("w", 0.05) is None
    engine.signal("w", "late", key="k")
    assert result(engine, "w") == "late"


def test_another_executor_takes_over_what_a_dead_one_left(lives: Any) -> None:
    """Launching under another name leaves it alone; asking for it takes it over, once."""

    @lives.workflow
    def work(ctx: Any, payload: Any) -> Any:
        return [ctx.wait_signal(), ctx.resumed]

    lives.begin("run:dead").start("work", "w", None)
    engine = lives.begin("run:alive")
    engine.signal("w", "go", key="k")
    assert engine.wait("w", 0.3) is None
    assert engine.recover(["run:dead"]) == ["w"]
    assert result(engine, "w") == ["go", True]
    assert engine.recover(["run:dead"]) == []
