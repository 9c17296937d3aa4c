"""A run's records carry run, step and decision; what cannot be recorded does not happen."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.audit.record import EventName
from ringfence.chain.errors import Position, Unavailable
from ringfence.policy.decision import Decision

Agent = Callable[..., dict[str, object]]
Read = Callable[[Any], list[dict[str, Any]]]


def test_a_record_says_who_decided_what_and_where(world: Any, agent: Agent, recorded: Read) -> None:
    """Step, rule, verdict, reason and place come from agent, attempt and decision."""
    place = Position(file="c.json", line=7, column=3)
    opened = world(agent("a", ""))
    opened.record(
        EventName.EVENT_DENY, agent="a", attempt=2, subject="x:y",
        decision=Decision.deny("no-such-event", "not its own", where=place),
    )  # fmt: skip
    (record,) = recorded(opened)
    assert {k: record[k] for k in ("run", "agent", "step", "rule", "decision", "subject")} == {
        "run": "r20261121-test", "agent": "a", "step": "a#2", "rule": "no-such-event",
        "decision": "deny", "subject": "x:y",
    }  # fmt: skip
    assert record["where"].startswith("c.json:7")


def test_without_its_log_recording_raises(world: Any, agent: Agent) -> None:
    """The caller must not go on; guard off: while the log is open the same record is taken."""
    opened = world(agent("a", ""))
    opened.record(EventName.EVENT_EMIT, agent="a")
    opened.audit.close()
    with pytest.raises(Unavailable):
        opened.record(EventName.EVENT_EMIT, agent="a")


def test_a_stop_reaches_whoever_asked_first_or_last(world: Any, agent: Agent) -> None:
    """One event for each agent, also when many threads ask for it at once."""
    opened = world(agent("a", ""))
    found: list[threading.Event] = []
    threads = [
        threading.Thread(target=lambda: found.append(opened.stop_event("a"))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    opened.stop_event("a").set()
    assert found[0].is_set()
    assert not opened.stop_event("b").is_set()
