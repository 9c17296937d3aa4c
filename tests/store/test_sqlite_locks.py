"""Opening a store again in the same process must not give its locks away."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.store import sqlite as store

# Another program that opens the file, writes and leaves: the last one out removes the log.
VISITOR = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
db.execute("INSERT INTO t VALUES ('visitor')")
db.close()
"""


def open_and_close_the_file(path: Path) -> None:
    """What a careless check does: any close in the process drops the process's POSIX locks."""
    os.close(os.open(path, os.O_RDWR))


def open_and_close_a_connection(path: Path) -> None:
    """What `connect` does."""
    store.connect(path, durable=True).close()


def log_survives(path: Path, again: Callable[[Path], None]) -> bool:
    """Hold a connection, open the file again in between, let a visitor come and go."""
    with closing(store.connect(path, durable=True)) as held:
        held.execute("CREATE TABLE t (x)")
        again(path)
        subprocess.run([sys.executable, "-c", VISITOR, str(path)], check=True)
        return path.with_name(path.name + "-wal").exists()


def test_a_careless_open_loses_the_log(tmp_path: Path) -> None:
    """Guard off: the visitor takes itself for the last one and removes a log that is in use."""
    assert not log_survives(tmp_path / "a.sqlite", open_and_close_the_file)


def test_connecting_again_keeps_the_locks(tmp_path: Path) -> None:
    """With our own way of opening the log stays, and nothing is lost."""
    path = tmp_path / "a.sqlite"
    assert log_survives(path, open_and_close_a_connection)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT x FROM t").fetchall() == [("visitor",)]


@pytest.mark.parametrize("kind", ["link", "open"])
def test_a_file_that_is_not_ours_alone_is_refused(tmp_path: Path, kind: str) -> None:
    """A link is not followed, and a file others can read is no store."""
    path = tmp_path / "a.sqlite"
    if kind == "link":
        (tmp_path / "real").touch(0o600)
        path.symlink_to(tmp_path / "real")
    else:
        path.touch(0o644)
    with pytest.raises(store.Unavailable):
        store.connect(path, durable=True)
