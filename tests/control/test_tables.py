"""What the command line says about a run."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.control.tables import MOST_ROWS, by_rule, duration, run_tables, size, summary_rows
from ringfence.control.view import RunView, Verification

E = EventName
Make = Callable[..., Record]
Read = Callable[..., RunView]


def test_the_summary_says_outcome_blocked_and_waiting(
    read: Read, record: Make, started: Record
) -> None:
    """The three questions of a person, in that order, right after which run it is."""
    view = read(
        started,
        record(E.EVENT_DENY, agent="writer", subject="x:y", decision="deny"),
        record(E.EVENT_DENY, agent="writer", subject="x:y", decision="deny"),
        record(E.REVIEW_REQUEST, subject="rv1"),
    )
    rows = summary_rows(view)
    assert rows[2:5] == (
        ("outcome", "waiting for review"),
        ("blocked", "2 refused, 1 different"),
        ("waiting", "1 review"),
    )


def test_a_log_that_does_not_verify_is_said_loudly(read: Read, started: Record) -> None:
    """Checked and bad, checked and good, not checked: three different texts."""
    view = read(started)
    said = {
        dict(summary_rows(replace(view, verification=check)))["record"]
        for check in (
            None,
            Verification(ok=True, size=4),
            Verification(ok=False, size=4, first_bad=2, reason="hash"),
        )
    }
    assert said == {
        "1 record, 10 to 10, not checked",
        "1 record, 10 to 10, log of 4 verifies",
        "1 record, 10 to 10, DOES NOT VERIFY at 2: hash",
    }


def test_weaker_settings_stand_in_the_summary(read: Read, record: Make, started: Record) -> None:
    """A degraded mode is shown on every run (R2)."""
    rows = summary_rows(read(started, record(E.SETTING_UNSAFE, subject="secret in environment")))
    assert ("weaker", "setting.unsafe: secret in environment") in rows


def test_cells_are_safe_for_a_terminal(read: Read, record: Make) -> None:
    """An agent's name cannot move the cursor."""
    view = read(record(E.EVENT_DENY, agent="\x1b[2Jwriter", subject="x:y", decision="deny"))
    table = run_tables(view)[0]
    assert table.rows[0][0] == "⟨U+001B⟩[2Jwriter"


def test_a_flood_is_cut_and_counted(read: Read, record: Make) -> None:
    """More rows than fit are counted, not printed."""
    flood = [
        record(E.EVENT_DENY, agent="a", subject=f"x:{n}", decision="deny")
        for n in range(MOST_ROWS + 3)
    ]
    table = run_tables(read(*flood))[0]
    assert len(table.rows) == MOST_ROWS
    assert table.left_out == 3


def test_a_flood_does_not_hide_another_rule(read: Read, record: Make) -> None:
    """By rule, one refusal among many of another kind still has its line."""
    flood = [
        record(E.EGRESS_DENY, agent="a", subject=f"GET https://h{n}/", rule="no-route",
               detail={"id": str(n)})
        for n in range(MOST_ROWS + 3)
    ]  # fmt: skip
    view = read(*flood, record(E.SECRET_DENY, agent="b", subject="TOKEN", rule="secret-host"))
    assert [(c.rule, c.times, c.agents, c.example) for c in by_rule(view)] == [
        ("no-route", MOST_ROWS + 3, ("a",), "GET https://h0/"),
        ("secret-host", 1, ("b",), "TOKEN"),
    ]
    titles = [table.title for table in run_tables(view)]
    assert titles == ["Blocked", "Blocked, by rule"]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "unknown"),
        (7, "7 ms"),
        (1_250, "1.2 s"),
        (61_000, "1 min 1 s"),
        (7_260_000, "2 h 1 min"),
    ],
)
def test_spans_are_said_as_a_person_would(ms: int | None, text: str) -> None:
    """Milliseconds become the largest unit that tells enough."""
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "unknown"), (0, "0 B"), (1_536, "1.5 KiB"), (2**20, "1.0 MiB"), (2**40, "1024.0 GiB")],
)
def test_sizes_are_said_as_a_person_would(count: int | None, text: str) -> None:
    """Bytes become the largest unit up to GiB."""
    assert size(count) == text
