"""How database files are opened, laid out and failed."""

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.chain.errors import Unavailable
from ringfence.store import sqlite
from ringfence.store.sqlite import connect, failing, prepare, snapshot, transaction

LAYOUT = ("CREATE TABLE thing (name TEXT) STRICT",)


def pragma(connection: sqlite3.Connection, name: str) -> object:
    """Read one setting."""
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_settings_of_a_connection(data: Path, durable: bool, level: int) -> None:  # noqa: FBT001 - a table of cases
    """WAL, sync by durability, foreign keys, no trust in the file's schema, bytes overwritten."""
    with closing(connect(data / "x.sqlite", durable=durable, busy_seconds=3)) as connection:
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "synchronous") == level
        assert pragma(connection, "busy_timeout") == 3000
        assert pragma(connection, "foreign_keys") == 1
        assert pragma(connection, "trusted_schema") == 0
        assert pragma(connection, "secure_delete") == 1


def test_files_are_for_their_user_only(data: Path) -> None:
    """Database, write-ahead log and shared memory have mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        with closing(connect(data / "x.sqlite", durable=True)) as connection:
            connection.execute("CREATE TABLE t (a)")
            names = sorted(data.iterdir())
            modes = {stat.S_IMODE(path.stat().st_mode) for path in names}
    finally:
        os.umask(before)
    assert [path.name for path in names] == ["x.sqlite", "x.sqlite-shm", "x.sqlite-wal"]
    assert modes == {0o600}


def test_a_file_open_to_others_is_refused(data: Path) -> None:
    """The hint is the command that mends it."""
    path = data / "x.sqlite"
    path.touch(mode=0o644)
    with pytest.raises(Unavailable) as caught:
        connect(path, durable=True)
    assert (caught.value.code, caught.value.hint) == ("store-exposed", f"chmod 600 {path}")


def test_a_symbolic_link_is_not_followed(data: Path, tmp_path: Path) -> None:
    """Plain sqlite3 follows it and writes elsewhere; ours refuses."""
    elsewhere = tmp_path / "elsewhere.sqlite"
    (data / "x.sqlite").symlink_to(elsewhere)
    with closing(sqlite3.connect(data / "x.sqlite")) as connection:
        connection.execute("CREATE TABLE t (a)")
    assert elsewhere.exists()
    with pytest.raises(Unavailable) as caught:
        connect(data / "x.sqlite", durable=True)
    assert caught.value.code == "store-unopenable"


def test_what_is_no_file_is_refused(data: Path) -> None:
    """A pipe does not hang the opener, a directory does not crash it."""
    os.mkfifo(data / "pipe", 0o600)
    (data / "directory").mkdir()
    for name in ("pipe", "directory", "missing/x.sqlite"):
        with pytest.raises(Unavailable):
            connect(data / name, durable=True)


def test_a_file_that_is_no_database_is_named(data: Path) -> None:
    """Damage is Unavailable with the way out."""
    path = data / "x.sqlite"
    path.write_bytes(b"this is not a database, it is far too chatty for one" * 100)
    path.chmod(0o600)
    with pytest.raises(Unavailable) as caught:
        connect(path, durable=True)
    assert caught.value.code == "store-damaged"


def test_a_layout_is_made_once(data: Path) -> None:
    """The second opener finds the tables and does not fill them again."""
    path = data / "x.sqlite"
    filled = []
    for _ in range(2):
        with closing(connect(path, durable=True)) as connection:
            prepare(
                connection, path, part="p", version=1, layout=LAYOUT,
                fill=lambda c: filled.append(c.execute("INSERT INTO thing VALUES ('one')")),
            )  # fmt: skip
            assert connection.execute("SELECT * FROM thing").fetchall() == [("one",)]
    assert len(filled) == 1


def test_another_version_is_refused(data: Path) -> None:
    """A file of a later ringfence is left alone."""
    path = data / "x.sqlite"
    with closing(connect(path, durable=True)) as connection:
        prepare(connection, path, part="p", version=2, layout=LAYOUT)
        with pytest.raises(Unavailable) as caught:
            prepare(connection, path, part="p", version=1, layout=LAYOUT)
    assert caught.value.code == "store-version"
    assert "version 2" in caught.value.message


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE TRIGGER t BEFORE INSERT ON thing BEGIN SELECT RAISE(IGNORE); END",
        "CREATE VIEW v AS SELECT 1",
    ],
)
def test_a_planted_program_is_refused(data: Path, planted: str) -> None:
    """Guard off: the trigger swallows rows without an error. Opening refuses the file."""
    path = data / "x.sqlite"
    with closing(connect(path, durable=True)) as connection:
        prepare(connection, path, part="p", version=1, layout=LAYOUT)
        connection.execute(planted)
        connection.execute("INSERT INTO thing VALUES ('kept?')")
        kept = connection.execute("SELECT count(*) FROM thing").fetchone()[0]
        assert kept == (0 if "TRIGGER" in planted else 1)
    with (
        closing(connect(path, durable=True)) as connection,
        pytest.raises(Unavailable) as caught,
    ):
        prepare(connection, path, part="p", version=1, layout=LAYOUT)
    assert caught.value.code == "store-damaged"


def test_a_failed_layout_leaves_nothing(data: Path) -> None:
    """Layout and version are one transaction."""
    path = data / "x.sqlite"
    with closing(connect(path, durable=True)) as connection:
        with pytest.raises(Unavailable):
            prepare(connection, path, part="p", version=1, layout=(*LAYOUT, "nonsense"))
        prepare(connection, path, part="p", version=1, layout=LAYOUT)


def test_two_openers_at_once_both_succeed(data: Path) -> None:
    """Creating one file from many threads ends with one layout and no error."""
    errors: list[BaseException] = []
    start = threading.Barrier(6)

    def open_it() -> None:
        try:
            start.wait()
            path = data / "x.sqlite"
            with closing(connect(path, durable=True)) as connection:
                prepare(connection, path, part="p", version=1, layout=LAYOUT)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_held_lock_is_store_busy(data: Path) -> None:
    """Waiting ends, and says what to do."""
    path = data / "x.sqlite"
    with (
        closing(connect(path, durable=True)) as one,
        closing(connect(path, durable=True, busy_seconds=0.05)) as two,
        transaction(one),
        pytest.raises(Unavailable) as caught,
        failing(path),
        transaction(two),
    ):
        pass
    assert caught.value.code == "store-busy"


def test_creating_waits_for_whoever_holds_the_new_file(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switching to WAL is tried again until the other process lets go, and not for ever."""
    path = data / "x.sqlite"
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable) as caught:
            connect(path, durable=True, busy_seconds=0.05)
        assert caught.value.code == "store-busy"
        clock = iter([0.0, 1.0])
        monkeypatch.setattr(sqlite.time, "monotonic", lambda: next(clock, 0.0))
        monkeypatch.setattr(sqlite.time, "sleep", lambda _: other.execute("ROLLBACK"))
        connect(path, durable=True, busy_seconds=2).close()


def test_a_file_system_without_wal_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite answers with the mode it stayed in; anything but WAL is not durable as promised."""

    class Stubborn(sqlite3.Connection):
        def execute(self, text: str, *values: object) -> sqlite3.Cursor:
            return super().execute(text.replace("journal_mode=WAL", "journal_mode=DELETE"), *values)

    original = sqlite3.connect
    monkeypatch.setattr(
        sqlite.sqlite3, "connect", lambda *a, **k: original(*a, **k, factory=Stubborn)
    )
    with pytest.raises(Unavailable) as caught:
        connect(data / "x.sqlite", durable=True)
    assert "local disk" in caught.value.hint


def test_a_closed_connection_is_store_closed(data: Path) -> None:
    """What the module raises itself is mapped too."""
    connection = connect(data / "x.sqlite", durable=True)
    connection.close()
    with pytest.raises(Unavailable) as caught, failing(data / "x.sqlite"):
        connection.execute("SELECT 1")
    assert caught.value.code == "store-closed"


def test_a_transaction_that_raises_leaves_nothing(data: Path) -> None:
    """Rows of a failed block are gone and the lock is free."""
    path = data / "x.sqlite"
    with closing(connect(path, durable=True)) as connection:
        prepare(connection, path, part="p", version=1, layout=LAYOUT)
        with pytest.raises(sqlite3.OperationalError), transaction(connection):
            connection.executescript("SAVEPOINT s; INSERT INTO thing VALUES ('lost'); nonsense")
        with transaction(connection):
            assert connection.execute("SELECT * FROM thing").fetchall() == []


def test_a_snapshot_does_not_see_later_commits(data: Path) -> None:
    """Two reads in one snapshot agree."""
    path = data / "x.sqlite"
    with (
        closing(connect(path, durable=True)) as reader,
        closing(connect(path, durable=True)) as writer,
    ):
        prepare(writer, path, part="p", version=1, layout=LAYOUT)
        with snapshot(reader):
            assert reader.execute("SELECT count(*) FROM thing").fetchone() == (0,)
            writer.execute("INSERT INTO thing VALUES ('new')")
            assert reader.execute("SELECT count(*) FROM thing").fetchone() == (0,)
        assert reader.execute("SELECT count(*) FROM thing").fetchone() == (1,)


def test_errors_carry_no_data(data: Path) -> None:
    """The text of an error is ours: file and code, never what SQLite was working on."""
    path = data / "x.sqlite"
    with closing(connect(path, durable=True)) as connection:
        connection.execute("CREATE TABLE t (a CHECK (a != 'canary'))")
        with pytest.raises(Unavailable) as caught, failing(path):
            connection.execute("INSERT INTO t VALUES ('canary')")
    assert "canary" not in str(caught.value.to_json())
    assert caught.value.__cause__ is None
    assert caught.value.code == "store-failed"


def test_every_known_failure_has_a_hint() -> None:
    """A code without a way out would leave the operator alone."""
    for code, hint in sqlite._FAILURES.values():
        assert code.startswith("store-")
        assert hint
