"""Records in, view out, whatever the records hold."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.audit.record import EventName, Record
from ringfence.control.reading import RAW_LIMIT, read_run
from ringfence.control.view import Outcome, RunView, Verification
from ringfence.policy.decision import Verdict

E = EventName
Make = Callable[..., Record]
Read = Callable[..., RunView]


def test_the_header_is_what_the_records_say(read: Read, record: Make, started: Record) -> None:
    """Chain, file, digest, starter, times and status stand on run.start and run.finish."""
    view = read(started, record(E.RUN_FINISH, at=90, detail={"status": "succeeded"}))
    assert (view.chain, view.file, view.digest) == ("notes", "notes.yaml", "c" * 64)
    assert view.starter == "os-user:maria"
    assert view.outcome is Outcome.SUCCEEDED
    assert view.ms == 90_000
    assert (view.first, view.last, view.records) == (10, 11, 2)


def test_a_run_without_an_end_is_not_finished(read: Read, started: Record) -> None:
    """No run.finish means neither success nor failure."""
    view = read(started)
    assert view.outcome is Outcome.UNFINISHED
    assert view.finished is None


def test_a_run_that_asks_a_person_waits(read: Read, record: Make, started: Record) -> None:
    """An open review and no end: the run waits."""
    assert read(started, record(E.REVIEW_REQUEST, subject="rv1")).outcome is Outcome.WAITING


def test_a_resumed_run_has_no_end_yet(read: Read, record: Make, started: Record) -> None:
    """A resume takes back the earlier end and is itself on the page."""
    end = record(E.RUN_FINISH, detail={"status": "failed"})
    view = read(started, end, record(E.RUN_RESUME))
    assert view.outcome is Outcome.UNFINISHED
    assert [n.event for n in view.notices] == ["run.resume"]


def test_an_unknown_status_is_not_success(read: Read, record: Make, started: Record) -> None:
    """A word this version does not know is shown, not interpreted."""
    view = read(started, record(E.RUN_FINISH, detail={"status": "sort-of-succeeded"}))
    assert view.outcome is Outcome.UNKNOWN
    assert view.status == "sort-of-succeeded"


@pytest.mark.parametrize(
    "event",
    [E.EGRESS_DENY, E.EVENT_DENY, E.SECRET_DENY, E.MERGE_DROP, E.ISOLATION_REFUSE, E.CONFIG_REJECT],
)
def test_a_refusing_event_is_a_refusal_whatever_its_decision_says(
    read: Read, record: Make, event: EventName
) -> None:
    """The stricter of event and decision counts, and odd details do not hide it."""
    view = read(record(event, subject="s", decision="allow", detail={"id": 7, "host": 7}))
    assert view.blocked == 1
    assert view.allowed == 0


def test_a_refused_request_is_never_shown_as_allowed(read: Read, record: Make) -> None:
    """An egress.allow that carries a denial is a refusal in both tables."""
    view = read(
        record(E.EGRESS_ALLOW, subject="GET https://a/", decision="deny", detail={"id": "1"})
    )
    assert view.blocked == 1
    assert not view.egress[0].allowed


def test_a_refusal_keeps_rule_reason_place_and_fix(read: Read, record: Make) -> None:
    """Everything a person needs to act stands in one line."""
    view = read(
        record(
            E.EVENT_DENY, agent="writer", subject="x:y", rule="event-not-declared",
            decision="deny", reason="not in emits", where="notes.yaml:3:5",
            detail={"fix": "add x:y to emits"},
        )
    )  # fmt: skip
    (refusal,) = view.denied
    assert refusal.verdict is Verdict.DENY
    assert (refusal.rule, refusal.reason) == ("event-not-declared", "not in emits")
    assert (refusal.where, refusal.fix) == ("notes.yaml:3:5", "add x:y to emits")


def test_unknown_events_are_listed(read: Read, record: Make) -> None:
    """A record of a later version is shown raw."""
    view = read(record("model.call", subject="x"))
    assert [(u.position, u.event) for u in view.unshown] == [(10, "model.call")]
    assert '"model.call"' in view.unshown[0].raw


@pytest.mark.parametrize(
    "fields",
    [
        {"run": "other"},
        {"run": None},
        {"subject": 5},
        {"decision": "maybe"},
        {"detail": ["a"]},
        {"time": "now"},
        {"time": datetime(2026, 1, 1)},  # noqa: DTZ001 - a time without a zone is the point
        {"event": 5},
        {"detail": {"status": 10**5000}},
        {"detail": {1: {2}}},
    ],
)
def test_odd_records_are_listed(record: Make, fields: dict[str, object]) -> None:
    """Wrong run, types, decision or time: listed with why, and nothing raised."""
    whole = record(E.RUN_FINISH, detail={"status": "succeeded"})
    odd = dataclasses.replace(whole, **fields)  # type: ignore[arg-type]
    view = read_run("r1", [(0, odd)])
    assert len(view.unshown) == 1
    assert view.unshown[0].why
    assert view.outcome is Outcome.UNFINISHED


def test_a_second_start_changes_nothing(read: Read, started: Record) -> None:
    """The first run.start counts; another is odd."""
    second = dataclasses.replace(started, subject="other", detail={})
    view = read(started, second)
    assert view.chain == "notes"
    assert len(view.agents) == 2
    assert len(view.unshown) == 1


def test_a_long_raw_record_is_cut(read: Read, record: Make) -> None:
    """One odd record cannot fill the page."""
    view = read(record("x.y", subject="a" * 10_000))
    assert len(view.unshown[0].raw) < RAW_LIMIT + 20


def test_the_verification_is_handed_through(record: Make) -> None:
    """Whether the log verifies is a fact from outside the records."""
    check = Verification(ok=False, size=9, first_bad=3, reason="hash")
    assert read_run("r1", [], verification=check).verification is check


TEXT = st.one_of(
    st.none(), st.text(max_size=8), st.sampled_from(["r1", "writer", "writer#1", "q1"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([
                "id", "status", "agents", "name", "triggers", "emits", "output", "findings",
                "check", "severity", "issues", "secrets", "host", "count", "ms", "fix",
            ]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip
RECORDS = st.builds(
    Record,
    time=st.one_of(st.datetimes(), st.datetimes(timezones=st.just(UTC))),
    event=st.one_of(st.sampled_from(list(EventName)), st.text(max_size=8)),
    actor=st.text(max_size=5),
    run=st.one_of(st.just("r1"), TEXT),
    step=TEXT,
    agent=TEXT,
    rule=TEXT,
    decision=st.sampled_from([None, "allow", "ask", "deny", "?"]),
    reason=TEXT,
    where=TEXT,
    subject=TEXT,
    digest=TEXT,
    detail=st.dictionaries(st.sampled_from(["id", "status", "agents", "output", "ms"]), JSON),
)


@settings(deadline=None)
@given(st.lists(RECORDS, max_size=12))
def test_any_records_give_a_view(records: list[Record]) -> None:
    """No sequence of records raises, none is lost, and no refusal disappears."""
    view = read_run("r1", enumerate(records))
    assert view.records == len(records)
    refusals = sum(1 for r in records if r.run == "r1" and r.decision == "deny" and r.time.tzinfo)
    assert view.blocked >= refusals
    assert len(view.unshown) <= len(records)
