"""A record and its one byte form."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ringfence.audit.record import EventName, Record

TIME = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_the_bytes_are_these() -> None:
    """Keys sorted, absent fields left out, no white space, microseconds, UTF-8."""
    record = Record(
        time=TIME, event=EventName.EGRESS_DENY, actor="broker", run="r1", decision="deny",
        subject="GET https://é.example:443/", detail={"id": 1, "secrets": []},
    )  # fmt: skip
    assert (
        record.canonical()
        == (
            '{"actor":"broker","decision":"deny","detail":{"id":1,"secrets":[]},'
            '"event":"egress.deny","run":"r1","subject":"GET https://é.example:443/",'
            '"time":"2026-01-02T03:04:05.000006+00:00","v":1}'
        ).encode()
    )


def test_every_field_is_kept() -> None:
    """What is set is in the bytes; nothing is dropped on the way."""
    record = Record(
        time=TIME, event=EventName.STEP_START, actor="a", run="b", step="c", agent="d", rule="e",
        decision="allow", reason="f", where="g", subject="h", digest="i", detail={"j": None},
    )  # fmt: skip
    body = json.loads(record.canonical())
    assert {k: v for k, v in body.items() if k not in {"v", "time", "event"}} == {
        "actor": "a", "run": "b", "step": "c", "agent": "d", "rule": "e", "decision": "allow",
        "reason": "f", "where": "g", "subject": "h", "digest": "i", "detail": {"j": None},
    }  # fmt: skip


def test_times_are_written_in_utc() -> None:
    """One moment has one spelling, whatever zone the caller thinks in."""
    elsewhere = TIME.astimezone(timezone(timedelta(hours=5)))
    records = [Record(time=t, event=EventName.RUN_START, actor="x") for t in (TIME, elsewhere)]
    assert records[0].canonical() == records[1].canonical()


def test_a_time_without_zone_is_refused() -> None:
    """A naive time would mean another moment on another host."""
    record = Record(time=TIME.replace(tzinfo=None), event=EventName.RUN_START, actor="x")
    with pytest.raises(ValueError, match="zone"):
        record.canonical()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_cannot_say_is_refused(value: float | str) -> None:
    """NaN, infinity and lone surrogates have no canonical bytes."""
    record = Record(time=TIME, event=EventName.RUN_START, actor="x", detail={"v": value})
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        record.canonical()


def test_event_names_have_one_form() -> None:
    """Every name is ``thing.act`` in lower case."""
    for name in EventName:
        thing, _, act = name.value.partition(".")
        assert thing.isalpha()
        assert act.replace("-", "").isalpha()
        assert name.value == name.value.lower()
