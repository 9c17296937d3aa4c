"""Audit records for the tests of the run view, built with as little writing as possible."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.control.reading import read_run
from ringfence.control.view import RunView

if TYPE_CHECKING:
    from ringfence.chain.words import Json

START = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


@pytest.fixture
def record() -> Callable[..., Record]:
    """Give a maker of records of run ``r1`` by the supervisor; keyword arguments replace fields."""

    def make(event: EventName, *, at: int = 0, **fields: object) -> Record:
        values: dict[str, object] = {"actor": "supervisor", "run": "r1", **fields}
        return Record(time=START + timedelta(seconds=at), event=event, **values)  # type: ignore[arg-type]

    return make


@pytest.fixture
def started(record: Callable[..., Record]) -> Record:
    """Give the start of a chain of two agents, one after the other."""
    agents: list[Json] = [
        {"name": "writer", "type": "cli", "triggers": ["chain:start"], "emits": ["draft:ready"]},
        {
            "name": "editor",
            "type": "cli",
            "triggers": ["draft:ready"],
            "emits": ["chain:complete"],
        },
    ]
    return record(
        EventName.RUN_START,
        actor="os-user:maria",
        subject="notes",
        digest="c" * 64,
        detail={"file": "notes.yaml", "agents": agents},
    )


@pytest.fixture
def read() -> Callable[..., RunView]:
    """Give a reader of records as run ``r1``, numbered from 10."""

    def run(*records: Record) -> RunView:
        return read_run("r1", list(enumerate(records, 10)))

    return run
