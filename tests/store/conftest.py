"""A data directory with keys, and records to put into a log."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.store.audit_log import SqliteAuditLog
from ringfence.store.keys import create_audit_key


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory as the product makes it."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def log(data: Path) -> Iterator[SqliteAuditLog]:
    """A new, empty log in the data directory."""
    made = SqliteAuditLog(data / "audit.sqlite", create_audit_key(data), create=True)
    yield made
    made.close()


@pytest.fixture
def record() -> Callable[..., Record]:
    """Make a record that differs by number."""

    def make(number: int = 0, *, run: str | None = "r1", event: str = "egress.deny") -> Record:
        return Record(
            time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), event=EventName(event), actor="test",
            run=run, subject=f"record {number}",
        )  # fmt: skip

    return make
