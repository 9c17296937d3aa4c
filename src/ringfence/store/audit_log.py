"""The audit log in SQLite: many writers, one history, a signed head for every commit.

Invariants:
1. `SqliteAuditLog.append` returns after a synced commit that holds its records, the new frontier
   and a signed checkpoint together, or it raises and none of them is there.
2. Callers that wait at the same time share a commit (one writer thread); processes take turns by
   ``BEGIN IMMEDIATE`` and read the frontier anew each time.
3. No head is signed that does not continue a head this key signed: a forged frontier in the file
   stops appending instead of being signed.
4. A log is made only when asked to; one that has gone missing is not quietly begun again.

It does not stop someone with the file from putting all of it back to an older state while nobody
writes; a checkpoint kept elsewhere shows that.
"""

import os
import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ringfence.audit.checkpoint import (
    Checkpoint,
    CheckpointError,
    Signer,
    parse_and_verify,
    sign,
)
from ringfence.audit.merkle import Frontier, leaf_hash
from ringfence.audit.record import EventName, Record
from ringfence.audit.verify import Entry, VerifyResult
from ringfence.chain.errors import InternalError, RingfenceError, Unavailable
from ringfence.store.audit_reader import LAYOUT, PART, VERSION, AuditReader, damaged, missing
from ringfence.store.sqlite import BUSY_SECONDS, connect, failing, prepare, transaction

MAX_RECORD_BYTES: Final = 256 * 1024
MAX_RECORDS_PER_CALL: Final = 1_000
MAX_CALLS_PER_COMMIT: Final = 512


@dataclass(slots=True)
class _Call:
    """One caller's records and what became of them."""

    rows: list[tuple[bytes, str | None]]
    done: threading.Event = field(default_factory=threading.Event)
    last: int = -1
    error: RingfenceError | None = None


class SqliteAuditLog:
    """An audit log that any number of threads and processes may append to.

    With ``create`` a new log is begun if the file is not there. Not to be carried over a fork.

    Raises Unavailable: ``audit-missing``, ``audit-damaged`` or one of the store's codes.
    """

    def __init__(
        self,
        path: Path,
        signer: Signer,
        *,
        create: bool = False,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        if not create and not path.is_file():
            raise missing(path)
        self._path = path
        self._signer = signer
        self._reader = AuditReader(path, signer.verifier)
        self._known = Frontier()
        self._pid = os.getpid()
        self._gate = threading.Lock()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._connection = connect(path, durable=True, busy_seconds=busy_seconds)
        try:
            prepare(
                self._connection,
                path,
                part=PART,
                version=VERSION,
                layout=LAYOUT,
                fill=self._begin if create else self._refuse_empty,
            )
            with failing(path), transaction(self._connection):
                self._known = self._head()
        except BaseException:
            self._connection.close()
            raise

    def append(self, records: Sequence[Record]) -> int:
        """Make the records durable, in order, and give the position of the last one (from 0).

        At most 1,000 records of 256 KiB a call. Blocks until the commit is synced.

        Raises Unavailable (nothing was appended; the effect must not happen), InternalError for
        too much, ValueError for no record or one without canonical bytes.
        """
        if not 1 <= len(records) <= MAX_RECORDS_PER_CALL:
            raise ValueError("append takes 1 to 1,000 records")
        call = _Call([(record.canonical(), record.run) for record in records])
        if any(len(data) > MAX_RECORD_BYTES for data, _ in call.rows):
            raise InternalError(
                "audit-record-size",
                f"a record has more than {MAX_RECORD_BYTES} bytes",
                hint="bound what the caller puts into it",
            )
        with self._gate:
            if self._closed or os.getpid() != self._pid:
                raise _closed(self._path)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
                self._thread.start()
            self._calls.put(call)
        call.done.wait()
        if call.error is not None:
            error = call.error
            raise type(error)(error.code, error.message, hint=error.hint)
        return call.last

    def close(self) -> None:
        """Finish what was handed in, then refuse. May be called twice."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
            if thread is not None:
                self._calls.put(None)
        if thread is not None:
            thread.join()
        self._connection.close()

    def read(
        self, *, run: str | None = None, event: EventName | None = None, since: int = 0
    ) -> Iterator[Entry]:
        """Give stored records; see `AuditReader.read`."""
        return self._reader.read(run=run, event=event, since=since)

    def verify(self, *, anchors: Sequence[bytes] = ()) -> VerifyResult:
        """Check the whole log; see `AuditReader.verify`."""
        return self._reader.verify(anchors=anchors)

    def checkpoint(self) -> bytes:
        """Give the newest signed checkpoint, to be kept elsewhere."""
        return self._reader.checkpoint()

    def _write(self) -> None:
        open_ = True
        while open_:
            call = self._calls.get()
            batch: list[_Call] = []
            while call is not None:
                batch.append(call)
                if len(batch) == MAX_CALLS_PER_COMMIT or self._calls.empty():
                    break
                call = self._calls.get()
            open_ = call is not None
            if batch:
                self._settle(batch)

    def _settle(self, batch: list[_Call]) -> None:
        error: RingfenceError | None = None
        try:
            first = self._commit([row for call in batch for row in call.rows])
        except RingfenceError as known:
            error = known
        except Exception as unknown:  # noqa: BLE001 - a caller left waiting would hang the run
            error = InternalError(
                "audit-failed",
                f"appending failed ({type(unknown).__name__})",
                hint="please report this",
            )
        for call in batch:
            call.error = error
            if error is None:
                first += len(call.rows)
                call.last = first - 1
            call.done.set()

    def _commit(self, rows: list[tuple[bytes, str | None]]) -> int:
        leaves = [leaf_hash(data) for data, _ in rows]
        with failing(self._path):
            with transaction(self._connection):
                head = self._head()
                grown = head.extend(leaves)
                self._connection.executemany(
                    "INSERT INTO record (position, data, leaf, run) VALUES (?, ?, ?, ?)",
                    (
                        (position, data, leaf, run)
                        for position, (data, run), leaf in zip(
                            range(head.size, grown.size), rows, leaves, strict=True
                        )
                    ),
                )
                self._put_head(self._connection, grown)
            # Only what was committed is known; a failed commit leaves the old head in place.
            self._known = grown
        return head.size

    def _put_head(self, connection: sqlite3.Connection, frontier: Frontier) -> None:
        note = sign(Checkpoint(self._signer.origin, frontier.size, frontier.root()), self._signer)
        connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (frontier.size, note))
        connection.execute("INSERT OR REPLACE INTO head VALUES (1, ?)", (frontier.to_bytes(),))

    def _head(self) -> Frontier:
        row = self._connection.execute("SELECT frontier FROM head").fetchone()
        try:
            frontier = Frontier.from_bytes(row[0])
        except (TypeError, ValueError):
            raise damaged(self._path, "its head cannot be read") from None
        newest = self._connection.execute("SELECT max(position) FROM record").fetchone()[0]
        if frontier.size != (0 if newest is None else newest + 1):
            raise damaged(self._path, "head and records differ in number")
        if frontier == self._known and frontier.size > 0:
            return frontier
        if frontier.size <= self._known.size and frontier != self._known:
            raise damaged(self._path, "it went back to an older state")
        self._insist_on_signature(frontier)
        return frontier

    def _insist_on_signature(self, frontier: Frontier) -> None:
        # Signing whatever head lies in the file would launder a rewritten history.
        row = self._connection.execute(
            "SELECT note FROM checkpoint WHERE size = ?", (frontier.size,)
        ).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise damaged(self._path, "its head has no checkpoint")
        try:
            signed = parse_and_verify(row[0], self._signer.verifier)
        except CheckpointError:
            raise damaged(self._path, "its head is not signed by this key") from None
        if (signed.size, signed.root) != (frontier.size, frontier.root()):
            raise damaged(self._path, "its head is not the one that was signed")

    def _begin(self, connection: sqlite3.Connection) -> None:
        self._put_head(connection, Frontier())

    def _refuse_empty(self, connection: sqlite3.Connection) -> None:
        del connection
        raise damaged(self._path, "it holds no log")


def _closed(path: Path) -> Unavailable:
    return Unavailable("audit-closed", f"{path.name} is closed here", hint="open the log again")
