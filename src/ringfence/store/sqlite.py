"""How every SQLite file of ours is opened, laid out and failed.

Invariants:
1. A file is a regular file of our own user, mode 0600, never reached through a symbolic link.
2. WAL always; a durable file is synced at every commit (``synchronous=FULL``).
3. A part of the schema that another version wrote is refused, not guessed; so is a file with
   triggers or views, which we never make.
4. Every SQLite error becomes `Unavailable`; its text names the file and SQLite's code, no data.

It does not know what is stored. A connection must not be carried over a fork.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from ringfence.chain.errors import Unavailable

BUSY_SECONDS: Final = 10.0

_FAILURES: Final = {
    sqlite3.SQLITE_BUSY: ("store-busy", "another process holds the file; try again"),
    sqlite3.SQLITE_LOCKED: ("store-busy", "another process holds the file; try again"),
    sqlite3.SQLITE_FULL: ("store-full", "free some disk space, then try again"),
    sqlite3.SQLITE_READONLY: ("store-readonly", "make the file and its directory writable"),
    sqlite3.SQLITE_CANTOPEN: ("store-unopenable", "check the directory and its permissions"),
    sqlite3.SQLITE_CORRUPT: ("store-damaged", "restore the file from a backup"),
    sqlite3.SQLITE_NOTADB: ("store-damaged", "restore the file from a backup"),
    sqlite3.SQLITE_IOERR: ("store-io", "check the disk, then try again"),
}


def connect(path: Path, *, durable: bool, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open or create a database file. The caller starts and ends transactions itself.

    ``durable`` syncs at every commit; without it a power cut may lose the last commits, never
    damage the file. The connection may move between threads but not be used by two at once.

    Raises Unavailable.
    """
    _claim(path)
    with failing(path):
        connection = sqlite3.connect(
            path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            # A hostile schema must not run functions, and a broken page is to be noticed.
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("PRAGMA cell_size_check=ON")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA secure_delete=ON")
            _use_wal(connection, busy_seconds)
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        except BaseException:
            connection.close()
            raise
    return connection


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    *,
    part: str,
    version: int,
    layout: Sequence[str],
    fill: Callable[[sqlite3.Connection], None] | None = None,
) -> None:
    """Lay out one part of a file's schema if it is new; else insist on exactly this version.

    ``fill`` writes the first rows of a new part, in the transaction that lays it out.

    Raises Unavailable: ``store-version`` for a part that another version of ringfence wrote,
    ``store-damaged`` for a file with triggers or views.
    """
    with failing(path), transaction(connection):
        # A trigger runs inside our own statements; one that ignores inserts would hide records.
        foreign = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"
        if connection.execute(foreign).fetchone() is not None:
            raise Unavailable(
                "store-damaged",
                f"{path.name} holds a trigger or view, and ringfence makes none",
                hint="treat the host as compromised; restore the file from a backup",
            )
        connection.execute(
            "CREATE TABLE IF NOT EXISTS layout (part TEXT PRIMARY KEY, version INTEGER NOT NULL)"
        )
        row = connection.execute("SELECT version FROM layout WHERE part = ?", (part,)).fetchone()
        if row is None:
            for statement in layout:
                connection.execute(statement)
            connection.execute("INSERT INTO layout VALUES (?, ?)", (part, version))
            if fill is not None:
                fill(connection)
        elif row[0] != version:
            raise Unavailable(
                "store-version",
                f"{path.name} has {part} in version {row[0]}; this ringfence writes {version}",
                hint="use the version of ringfence that wrote the file",
            )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock for the block; commit at its end, roll back if it raises.

    Raises sqlite3.Error; use within `failing`.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After a failed COMMIT (disk full) SQLite may have rolled back already.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold one read view for the block, whatever others commit meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Turn every SQLite error of the block into Unavailable."""
    try:
        yield
    except sqlite3.Error as error:
        code, hint, name = _classify(error)
        raise Unavailable(code, f"{path.name} cannot be used ({name})", hint=hint) from None


def _classify(error: sqlite3.Error) -> tuple[str, str, str]:
    number = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if number is None:
        # Raised by the module, not the library: a closed connection above all.
        return "store-closed", "open the file again", name
    code, hint = _FAILURES.get(number & 0xFF, ("store-failed", "try again; then check the disk"))
    return code, hint, name


def _claim(path: Path) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise Unavailable(
            "store-unopenable",
            f"{path} cannot be opened ({error.strerror})",
            hint="check the directory and its permissions; a symbolic link is not followed",
        ) from None
    with closing(os.fdopen(descriptor, "rb")):
        facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
        raise Unavailable(
            "store-exposed", f"{path} is not a file of this user", hint=f"move {path} away"
        )
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise Unavailable(
            "store-exposed", f"{path} is open to other users", hint=f"chmod 600 {path}"
        )


def _use_wal(connection: sqlite3.Connection, busy_seconds: float) -> None:
    # Two processes creating one file meet here, and SQLite does not wait for this lock by itself.
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise Unavailable(
                "store-unopenable",
                "the file system cannot hold a write-ahead log",
                hint="keep the data directory on a local disk",
            )
        return
