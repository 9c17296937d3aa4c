"""Read and verify the audit log, with the public key only.

Invariants:
1. Reading changes nothing and never creates a log.
2. `AuditReader.verify` sees one snapshot: records, checkpoints and head of one moment.
3. Memory is constant; records come in pages or one by one.

It does not append (`ringfence.store.audit_log`) and does not judge (`ringfence.audit.verify`).
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from ringfence.audit.checkpoint import CheckpointError, Verifier, parse_and_verify
from ringfence.audit.merkle import Frontier
from ringfence.audit.record import EventName
from ringfence.audit.verify import Entry, VerifyResult, damaged_head, verify
from ringfence.chain.errors import Unavailable
from ringfence.chain.words import Json
from ringfence.store.sqlite import connect, failing, snapshot

PART: Final = "audit"
VERSION: Final = 1
# `run` repeats what the bytes say, to find a run's records; `AuditReader.verify` compares the two.
LAYOUT: Final = (
    """CREATE TABLE record (
        position INTEGER PRIMARY KEY, data BLOB NOT NULL, leaf BLOB NOT NULL, run TEXT
    ) STRICT""",
    "CREATE INDEX record_run ON record (run) WHERE run IS NOT NULL",
    "CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT",
    """CREATE TABLE head (
        one INTEGER PRIMARY KEY CHECK (one = 1), frontier BLOB NOT NULL
    ) STRICT""",
)

PAGE_RECORDS: Final = 500

_PAGE: Final = """
    SELECT position, data, leaf FROM record WHERE position >= ? ORDER BY position LIMIT ?
"""
_PAGE_OF_RUN: Final = """
    SELECT position, data, leaf FROM record
    WHERE run = ? AND position >= ? ORDER BY position LIMIT ?
"""


class AuditReader:
    """A log in one file, seen by whoever has its public key."""

    def __init__(self, path: Path, verifier: Verifier) -> None:
        self._path = path
        self._verifier = verifier

    def read(
        self, *, run: str | None = None, event: EventName | None = None, since: int = 0
    ) -> Iterator[Entry]:
        """Give the records from position ``since`` on, of one run or event if named, in order.

        Records appended meanwhile are included. What is read is not verified.

        Raises Unavailable.
        """
        with closing(self._open()) as connection:
            position = since
            while True:
                with failing(self._path):
                    rows = _page(connection, run, position)
                for row in rows:
                    entry = self._entry(row)
                    if event is None or _field(entry.data, "event") == event.value:
                        yield entry
                if len(rows) < PAGE_RECORDS:
                    return
                position = rows[-1][0] + 1

    def verify(self, *, anchors: Sequence[bytes] = ()) -> VerifyResult:
        """Check every record against the stored checkpoints and those kept elsewhere.

        ``anchors`` are signed notes of this log that its host could not change; without one, a log
        put back to an older state as a whole looks whole.

        Raises Unavailable only when the file cannot be read.
        """
        kept = sorted((self._size(note), note) for note in anchors)
        with (
            closing(self._open()) as connection,
            failing(self._path),
            snapshot(connection),
        ):
            rows = connection.execute(
                "SELECT position, data, leaf, run FROM record ORDER BY position"
            )
            misfiled: list[int] = []
            stored = connection.execute("SELECT size, note FROM checkpoint ORDER BY size")
            notes = _merged(stored, kept)
            result = verify(self._entries(rows, misfiled), notes, self._verifier)
            if result.ok and misfiled:
                reason = f"record {misfiled[0]} is filed under a run that is not its own"
                return damaged_head(result, reason)
            return self._check_head(connection, result) if result.ok else result

    def checkpoint(self) -> bytes:
        """Give the newest signed checkpoint, to be kept elsewhere. Raises Unavailable."""
        with closing(self._open()) as connection, failing(self._path):
            return self._newest(connection)

    def _open(self) -> sqlite3.Connection:
        if not self._path.is_file():
            raise missing(self._path)
        return connect(self._path, durable=True)

    def _newest(self, connection: sqlite3.Connection) -> bytes:
        row = connection.execute(
            "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1"
        ).fetchone()
        if row is None:
            raise damaged(self._path, "it has no checkpoint")
        return _blob(row[0])

    def _check_head(self, connection: sqlite3.Connection, result: VerifyResult) -> VerifyResult:
        row = connection.execute("SELECT frontier FROM head").fetchone()
        try:
            frontier = Frontier.from_bytes(_blob(row[0] if row else None))
        except ValueError:
            return damaged_head(result, "the stored head cannot be read")
        newest = parse_and_verify(self._newest(connection), self._verifier)
        if (frontier.size, frontier.root()) != (newest.size, newest.root):
            return damaged_head(result, "the stored head is not that of the newest checkpoint")
        return result

    def _entries(
        self, rows: Iterable[tuple[object, object, object, object]], misfiled: list[int]
    ) -> Iterator[Entry]:
        for position, data, leaf, run in rows:
            entry = self._entry((position, data, leaf))
            if not misfiled and _field(entry.data, "run") != run:
                misfiled.append(entry.position)
            yield entry

    def _entry(self, row: tuple[object, object, object]) -> Entry:
        position, data, leaf = row
        if not isinstance(position, int):
            raise damaged(self._path, "a position is no number")
        return Entry(position=position, data=_blob(data), leaf=_blob(leaf))

    def _size(self, note: bytes) -> int:
        try:
            return parse_and_verify(note, self._verifier).size
        except CheckpointError:
            return 0  # put first, where verifying reports it


def missing(path: Path) -> Unavailable:
    """Give the error for a log that is not there."""
    return Unavailable(
        "audit-missing",
        f"{path} is not there",
        hint="restore it from a copy; a new log is begun in a new data directory only",
    )


def damaged(path: Path, what: str) -> Unavailable:
    """Give the error for a log that must not be appended to."""
    return Unavailable(
        "audit-damaged",
        f"{path.name} is not as this log left it: {what}",
        hint="run `ringfence audit verify`, then restore the file from a copy",
    )


def _page(
    connection: sqlite3.Connection, run: str | None, position: int
) -> list[tuple[int, object, object]]:
    if run is None:
        return connection.execute(_PAGE, (position, PAGE_RECORDS)).fetchall()
    return connection.execute(_PAGE_OF_RUN, (run, position, PAGE_RECORDS)).fetchall()


def _merged(
    stored: Iterable[tuple[object, object]], kept: Sequence[tuple[int, bytes]]
) -> Iterator[bytes]:
    waiting = list(reversed(kept))
    for size, note in stored:
        while waiting and isinstance(size, int) and waiting[-1][0] <= size:
            yield waiting.pop()[1]
        yield _blob(note)
    while waiting:
        yield waiting.pop()[1]


def _field(data: bytes, name: str) -> Json:
    try:
        record = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return record.get(name) if isinstance(record, dict) else None


def _blob(value: object) -> bytes:
    # A hostile file may hold other types; bytes that were never signed fail to verify.
    return value if isinstance(value, bytes) else b""
