"""A lease covers one place for a while and nothing beside it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.vault.lease import Lease

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LEASE = Lease(
    run="r1", agent="writer", secret="github", version=2, host="api.github.com",
    slot="header:authorization", placeholder="ghp_x", until=NOW + timedelta(minutes=5),
)  # fmt: skip


def test_it_covers_its_own_place() -> None:
    """The named host and slot, in time."""
    assert LEASE.covers("api.github.com", "header:authorization", NOW)
    assert LEASE.refusal(run="r1", host=LEASE.host, slot=LEASE.slot, now=NOW) is None


@pytest.mark.parametrize(
    ("host", "slot", "run", "rule"),
    [
        ("api.github.com", "header:authorization", "r2", "lease-other-run"),
        ("evil.example", "header:authorization", "r1", "lease-other-host"),
        ("api.github.com.evil.example", "header:authorization", "r1", "lease-other-host"),
        ("github.com", "header:authorization", "r1", "lease-other-host"),
        ("API.github.com", "header:authorization", "r1", "lease-other-host"),
        ("api.github.com.", "header:authorization", "r1", "lease-other-host"),
        ("api.github.com", "header:x-api-key", "r1", "lease-other-slot"),
        ("api.github.com", "body", "r1", "lease-other-slot"),
    ],
)
def test_any_other_place_is_named_and_refused(host: str, slot: str, run: str, rule: str) -> None:
    """Each mismatch has its own rule id."""
    assert LEASE.refusal(run=run, host=host, slot=slot, now=NOW) == rule
    assert run != LEASE.run or not LEASE.covers(host, slot, NOW)


@given(st.timedeltas(timedelta(0), timedelta(days=400)))
def test_it_ends_at_its_time(later: timedelta) -> None:
    """From ``until`` on, that moment included, nothing is covered."""
    assert LEASE.refusal(run="r1", host=LEASE.host, slot=LEASE.slot, now=LEASE.until + later) == (
        "lease-expired"
    )
    assert LEASE.covers(LEASE.host, LEASE.slot, LEASE.until - timedelta(microseconds=1))


def test_a_time_without_a_zone_is_refused() -> None:
    """It cannot be compared, so it is not in time."""
    assert not LEASE.covers(LEASE.host, LEASE.slot, NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    "change",
    [
        {"run": ""}, {"agent": ""}, {"secret": ""}, {"placeholder": ""}, {"version": 0},
        {"host": ""}, {"host": "*.github.com"}, {"host": "API.github.com"}, {"host": "a b"},
        {"host": "api.github.com."}, {"slot": "authorization"}, {"slot": "header:"},
        {"slot": "header:Authorization"}, {"until": NOW.replace(tzinfo=None)},
    ],
)  # fmt: skip
def test_a_lease_that_could_match_twice_is_not_made(change: dict[str, object]) -> None:
    """Wildcards, empty fields and second spellings are refused when the lease is made."""
    with pytest.raises(ValueError, match="a lease"):
        replace(LEASE, **change)  # type: ignore[arg-type]
