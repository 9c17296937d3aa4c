"""The journal is untrusted input: planted rows, foreign files, loud vendors."""

import base64
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from ringfence.chain.errors import Refused, Unavailable
from ringfence.engine.durable import WorkflowStatus
from ringfence.store.durable import dbos_guard as guard
from ringfence.store.durable.dbos_engine import FILE, DbosEngine
from ringfence.store.durable.sealing import Sealer

DEADLINE = 20.0
CANARY = "canary-7f3a"

PLAIN_VENDOR = """
import sys
from dbos import DBOS, DBOSPortableJSONSerializer
DBOS(config={"name": "ringfence", "system_database_url": "sqlite:///" + sys.argv[1],
             "serializer": DBOSPortableJSONSerializer(), "executor_id": "x",
             "application_version": "1", "log_level": "CRITICAL"})
DBOS.launch()
DBOS.list_workflows()
DBOS.destroy()
"""

OURS = """
import sys
from pathlib import Path
from ringfence.chain.errors import Refused
from ringfence.store.durable.dbos_engine import DbosEngine
engine = DbosEngine(Path(sys.argv[1]).parent, key=bytes(range(32)), executor="run:1", pool="run-1")
engine.register("work", lambda ctx, payload: ctx.step("s", lambda: payload))
try:
    engine.launch()
except Refused as error:
    sys.exit(f"refused: {error.code}")
engine.start("work", "again", 1)
engine.wait("again", 20)
engine.close()
"""

CONNECTS = """
import sys
seen = []
sys.addaudithook(lambda name, args: seen.append(name) if name.startswith("socket.") else None)
"""


class Touch:
    """A harmless payload: unpickling it makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def python(program: str, *args: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this test in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def plant(file: Path, payload: str, form: str = "py_pickle") -> None:
    """Make the row of the finished workflow claim another format."""
    with sqlite3.connect(file) as database:
        database.execute("UPDATE workflow_status SET serialization = ?", (form,))
        assert database.execute("UPDATE workflow_output SET output = ?", (payload,)).rowcount
    database.close()


@pytest.fixture
def journal(tmp_path: Path, install_key: bytes) -> Path:
    """Give a journal with one workflow that has ended and one message that waits."""
    engine = DbosEngine(tmp_path, key=install_key, executor="run:1", pool="run-1")
    engine.register("work", lambda ctx, payload: ctx.step("s", lambda: f"step {CANARY}"))
    engine.launch()
    engine.start("work", "w", f"payload {CANARY}")
    assert engine.wait("w", DEADLINE).result == f"step {CANARY}"
    engine.signal("w", f"message {CANARY}", key="k")
    engine.close()
    return tmp_path / FILE


def test_a_planted_pickle_runs_in_the_plain_vendor_and_not_in_ours(
    journal: Path, tmp_path: Path
) -> None:
    """First the proof that the attack works, then that it does not work here (R1)."""
    marker = tmp_path / "owned"
    plant(journal, base64.b64encode(pickle.dumps(Touch(marker))).decode())
    plain = python(PLAIN_VENDOR, journal)
    assert marker.is_dir(), plain.stderr
    marker.rmdir()
    ours = python(OURS, journal)
    assert ours.stderr.strip() == "refused: journal-foreign"
    assert not marker.exists()


def test_a_pickle_planted_while_we_run_is_not_opened(
    journal: Path, tmp_path: Path, install_key: bytes
) -> None:
    """Behind the check at the start, no decoder but ours is left in the process."""
    marker = tmp_path / "owned"
    engine = DbosEngine(tmp_path, key=install_key, executor="run:1", pool="run-1")
    engine.launch()
    plant(journal, base64.b64encode(pickle.dumps(Touch(marker))).decode())
    try:
        assert [state.id for state in engine.list_workflows()] == ["w"]
        with pytest.raises(Refused):
            engine.status("w")
        DBOS.list_workflows()
        with pytest.raises(Refused):
            DBOS.retrieve_workflow("w").get_result()
    finally:
        engine.close()
    assert not marker.exists()


@pytest.mark.parametrize("form", ["py_pickle", "portable_json", "", "RINGFENCE_SEALED_1"])
@pytest.mark.parametrize("table", ["workflow_status", "operation_outputs", "notifications"])
def test_a_row_of_another_format_stops_the_start(
    journal: Path, install_key: bytes, table: str, form: str
) -> None:
    """In whichever table, plain JSON too: it would be unauthenticated."""
    with sqlite3.connect(journal) as database:
        change = f"UPDATE {table} SET serialization = ?"
        assert database.execute(change, (form,)).rowcount
    database.close()
    engine = DbosEngine(journal.parent, key=install_key, executor="run:1", pool="run-1")
    with pytest.raises(Refused) as error:
        engine.launch()
    assert error.value.code == "journal-foreign"


def test_a_forged_result_is_refused(journal: Path, install_key: bytes) -> None:
    """A row that keeps our format but was not sealed here gives no result."""
    plant(journal, base64.b64encode(b'{"value":1}').decode(), guard.FORMAT)
    engine = DbosEngine(journal.parent, key=install_key, executor="run:1", pool="run-1")
    engine.launch()
    try:
        with pytest.raises(Refused):
            engine.status("w")
    finally:
        engine.close()


def test_another_key_stops_the_start_and_harms_nothing(journal: Path, install_key: bytes) -> None:
    """Taken up with the wrong key, waiting runs would be marked as failed for good."""
    with pytest.raises(Refused):
        DbosEngine(journal.parent, key=bytes(32), executor="run:1", pool="run-1").launch()
    engine = DbosEngine(journal.parent, key=install_key, executor="run:1", pool="run-1")
    engine.launch()
    assert engine.status("w").status is WorkflowStatus.SUCCEEDED
    engine.close()


def test_the_journal_holds_no_plain_text(journal: Path) -> None:
    """Payloads, results, messages and errors are sealed; the proof that the search finds things."""
    data = b"".join(path.read_bytes() for path in journal.parent.glob(f"{FILE}*"))
    assert b"workflow_status" in data
    assert guard.FORMAT.encode() in data
    assert CANARY.encode() not in data
    assert b"portable_json" not in data


def test_the_journal_is_private(tmp_path: Path) -> None:
    """0600 with any umask, its side files too; write-ahead log, schema untrusted."""
    mask = os.umask(0)
    try:
        database = guard.open_journal(tmp_path / FILE)
        with database.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x)")
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
            pragmas = ("journal_mode", "synchronous", "trusted_schema")
            values = [connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in pragmas]
    finally:
        os.umask(mask)
        database.dispose()
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert values == ["wal", 1, 0]


def test_what_was_accepted_is_flushed(
    tmp_path: Path, install_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start, a message and the end of a step: each flushes the log after its commit."""
    flushed: list[int] = []
    real = os.fdatasync

    def note(fd: int) -> None:
        flushed.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", note)
    engine = DbosEngine(tmp_path, key=install_key, executor="run:1", pool="run-1")
    engine.register("idle", lambda ctx, payload: ctx.wait_signal())
    engine.register("work", lambda ctx, payload: ctx.step("s", lambda: len(flushed)))
    engine.launch()
    log = (tmp_path / f"{FILE}-wal").stat().st_ino
    engine.start("idle", "i", None)
    assert flushed == [log]
    engine.signal("i", 1, key="k")
    engine.wait("i", DEADLINE)
    assert flushed == [log] * 2
    engine.start("work", "w", None)
    engine.wait("w", DEADLINE)
    assert flushed == [log] * 4
    engine.close()


def test_a_disk_that_does_not_take_it_fails_the_step(
    tmp_path: Path, install_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be flushed is not reported as done."""
    engine = DbosEngine(tmp_path, key=install_key, executor="run:1", pool="run-1")
    engine.register("work", lambda ctx, payload: ctx.step("s", lambda: 1))
    engine.launch()

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output"):
        engine.start("work", "w", None)
    assert engine.wait("w", DEADLINE).status is WorkflowStatus.FAILED
    engine.close()


def test_a_journal_without_a_log_is_flushed(tmp_path: Path) -> None:
    """The log is gone after the last connection closed, its content in the journal."""
    guard.flush(tmp_path / FILE)


def test_a_file_that_is_not_ours_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readable by others, a link, a directory, somebody else's: none is opened."""
    file = tmp_path / "a"
    file.touch(mode=0o600)
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "dir").mkdir()
    (tmp_path / "open").touch(mode=0o600)
    (tmp_path / "open").chmod(0o640)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "dir", "open", "pipe", "no/such"):
        with pytest.raises(Unavailable):
            guard.open_journal(tmp_path / name)
    guard.open_journal(file).dispose()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Unavailable):
        guard.open_journal(file)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, install_key: bytes) -> None:
    """Garbage is named as such."""
    file = tmp_path / FILE
    file.write_bytes(b"garbage" * 1_000)
    file.chmod(0o600)
    with pytest.raises(Refused) as error:
        DbosEngine(tmp_path, key=install_key, executor="run:1", pool="run-1").launch()
    assert error.value.code == "journal-unreadable"


def test_the_vendor_says_nothing_and_calls_nobody(tmp_path: Path) -> None:
    """Not even with its cloud switches set; the hook that looks for sockets does see one."""
    proof = python(CONNECTS + "import socket; socket.socket().connect_ex(('127.0.0.1', 9))\n"
                   "print(seen)")  # fmt: skip
    assert "socket.connect" in proof.stdout
    report = "\nprint([s for s in seen if s in ('socket.connect', 'socket.getaddrinfo')])"
    quiet = python(
        CONNECTS + OURS + report, tmp_path / FILE, DBOS__CLOUD="true", DBOS_DOMAIN="127.0.0.1",
        DBOS__CONDUCTOR_KEY="k", DBOS__CONDUCTOR_URL="ws://127.0.0.1:9",
        DBOS__CONDUCTOR_APP_NAME="x", DBOS_APP_NAME="x",
        DBOS_SYSTEM_DATABASE_URL="sqlite:////nowhere", DBOS__APPVERSION="evil", DBOS__VMID="evil",
    )  # fmt: skip
    assert (quiet.returncode, quiet.stdout.strip(), quiet.stderr) == (0, "[]", "")
    with sqlite3.connect(tmp_path / FILE) as database:
        rows = database.execute(
            "SELECT DISTINCT executor_id, application_version FROM workflow_status"
        ).fetchall()
    database.close()
    assert rows == [("run:1", "1+run-1")]


def test_the_serializer_takes_values_calls_and_errors_only(install_key: bytes) -> None:
    """Each comes back as what it was; an exception as its name and text."""
    serializer = guard.SealedSerializer(Sealer(install_key))
    call = {"args": ("a", 1), "kwargs": {}}
    assert serializer.deserialize(serializer.serialize(call)) == call
    assert serializer.deserialize(serializer.serialize({"args": [1]})) == {"args": [1]}
    error = serializer.deserialize(serializer.serialize(KeyError("k")))
    assert isinstance(error, guard.WorkflowFailed)
    assert str(error) == "KeyError: 'k'"
    with pytest.raises(Refused):
        serializer.deserialize(Sealer(install_key).seal({"other": 1}))
