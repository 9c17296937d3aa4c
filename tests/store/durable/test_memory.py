"""What only the twin can do, and where it is stricter."""

import threading
from typing import Any

import pytest

from ringfence.engine.durable import WorkflowStatus
from ringfence.store.durable.memory import MemoryEngine, MemoryJournal

DEADLINE = 10.0


def test_a_step_that_ends_after_the_crash_is_not_journalled() -> None:
    """What a killed process did last is unknown: the step is begun again."""
    journal, begun, release = MemoryJournal(), threading.Event(), threading.Event()
    runs: list[bool] = []

    def work(ctx: Any, payload: Any) -> Any:
        def step() -> Any:
            runs.append(ctx.resumed)
            begun.set()
            release.wait(DEADLINE)
            return len(runs)

        return ctx.step("long", step)

    first = MemoryEngine(journal, executor="x")
    first.register("work", work)
    first.launch()
    first.start("work", "w", None)
    assert begun.wait(DEADLINE)
    first.crash()
    release.set()
    second = MemoryEngine(journal, executor="x")
    second.register("work", work)
    second.launch()
    assert second.wait("w", DEADLINE).result == 2
    assert runs == [False, True]
    first.close()
    second.close()


def test_a_workflow_that_is_not_deterministic_fails() -> None:
    """Asking for another step on replay than the journal holds is an error."""
    journal = MemoryJournal()
    names = iter(["one", "two"])

    def work(ctx: Any, payload: Any) -> Any:
        ctx.step(next(names), lambda: 1)
        return ctx.wait_signal()

    for life in (1, 2):
        engine = MemoryEngine(journal, executor="x")
        engine.register("work", work)
        engine.launch()
        if life == 1:
            engine.start("work", "w", None)
            with journal.changed:
                journal.changed.wait_for(lambda: len(journal.rows["w"].steps) == 2, DEADLINE)
            engine.close()
    state = engine.wait("w", DEADLINE)
    assert state.status is WorkflowStatus.FAILED
    assert "'one'" in state.error


@pytest.mark.parametrize("verb", ["start", "signal"])
def test_payloads_are_copies(verb: str) -> None:
    """Changing what was passed in changes nothing in the journal."""
    journal = MemoryJournal()
    engine = MemoryEngine(journal, executor="x")
    engine.register("work", lambda ctx, payload: [payload, ctx.wait_signal()])
    engine.launch()
    payload, message = ["p"], ["m"]
    engine.start("work", "w", payload)
    payload.append("changed")
    engine.signal("w", message, key="k")
    message.append("changed")
    assert engine.wait("w", DEADLINE).result == [["p"], ["m"]]
    engine.close()
