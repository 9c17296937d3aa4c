"""The log as writers meet it: durable, shared, unforgeable, and closed when in doubt."""

import inspect
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.audit.checkpoint import Checkpoint, Signer, sign
from ringfence.audit.log import AuditLog
from ringfence.audit.merkle import Frontier, leaf_hash
from ringfence.audit.record import Record
from ringfence.audit.verify import Flaw
from ringfence.chain.errors import InternalError, Unavailable
from ringfence.store.audit_log import MAX_RECORD_BYTES, SqliteAuditLog
from ringfence.store.keys import load_audit_key

Make = Callable[..., Record]

# Appends from two threads and prints each position after its append returned.
WRITER = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from ringfence.audit.record import EventName, Record
from ringfence.store.audit_log import SqliteAuditLog
from ringfence.store.keys import load_audit_key

data, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log = SqliteAuditLog(data / "audit.sqlite", load_audit_key(data))
gate = threading.Lock()

def write(thread):
    for number in range(count):
        subject = f"{name}/{thread}/{number}"
        record = Record(time=datetime.now(UTC), event=EventName.EGRESS_ALLOW, actor="w",
                        run=name, subject=subject)
        position = log.append([record])
        with gate:
            print(position, subject, flush=True)

threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
log.close()
"""


def start_writer(data: Path, name: str, count: int) -> "subprocess.Popen[str]":
    """Start a process that appends."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def attack(data: Path, *changes: tuple[str, Iterable[object]]) -> None:
    """Run SQL on the file, as someone who holds it would."""
    with closing(sqlite3.connect(data / "audit.sqlite", isolation_level=None)) as connection:
        for text, values in changes:
            connection.execute(text, tuple(values))


def stored(data: Path) -> list[bytes]:
    """Give the bytes of all records in the file."""
    with closing(sqlite3.connect(data / "audit.sqlite")) as connection:
        return [row[0] for row in connection.execute("SELECT data FROM record ORDER BY position")]


def refusal(log: SqliteAuditLog, record: Record) -> str:
    """Append, which must be refused, and give the code."""
    with pytest.raises(Unavailable) as caught:
        log.append([record])
    assert caught.value.hint
    return caught.value.code


def test_it_is_the_port_that_others_are_given(log: SqliteAuditLog) -> None:
    """`append` has the signature of the port."""
    asked = inspect.signature(AuditLog.append).parameters
    assert list(asked) == list(inspect.signature(SqliteAuditLog.append).parameters)


def test_append_gives_the_last_position(log: SqliteAuditLog, record: Make) -> None:
    """Positions count from nought over calls."""
    assert log.append([record(0)]) == 0
    assert log.append([record(1), record(2)]) == 2
    assert log.append([record(3)]) == 3


def test_every_commit_is_signed(log: SqliteAuditLog, record: Make, data: Path) -> None:
    """After each append the log verifies as it lies there, the empty one included."""
    assert log.verify().ok
    for number in range(5):
        log.append([record(number)] * (number + 1))
        assert log.verify().ok
    assert log.verify().size == 15


def test_a_log_goes_on_after_reopening(log: SqliteAuditLog, record: Make, data: Path) -> None:
    """The frontier comes from the file; the history continues."""
    log.append([record(0)])
    log.close()
    with closing(SqliteAuditLog(data / "audit.sqlite", load_audit_key(data))) as again:
        assert again.append([record(1)]) == 1
        assert again.verify().ok


def test_many_threads_share_commits(log: SqliteAuditLog, record: Make, data: Path) -> None:
    """All records are there once; the positions given are those stored; commits are fewer."""
    given: dict[int, str] = {}

    def write(thread: int) -> None:
        for number in range(10):
            position = log.append([record(thread * 100 + number)])
            given[position] = f"record {thread * 100 + number}"

    threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data_of = {entry.position: entry.data for entry in log.read()}
    assert sorted(given) == list(range(160))
    assert all(f'"{subject}"'.encode() in data_of[n] for n, subject in given.items())
    assert log.verify().ok
    with closing(sqlite3.connect(data / "audit.sqlite")) as connection:
        commits = connection.execute("SELECT count(*) FROM checkpoint").fetchone()[0]
    assert commits < 161


def test_a_waiting_batch_is_one_commit(log: SqliteAuditLog, record: Make, data: Path) -> None:
    """What piles up while the file is locked goes in together, in one signed step."""
    log.append([record(0)])
    results: list[int] = []
    with closing(sqlite3.connect(data / "audit.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [
            threading.Thread(target=lambda: results.append(log.append([record(1)])))
            for _ in range(9)
        ]
        threads[0].start()
        while log._calls.qsize():
            pass
        for thread in threads[1:]:
            thread.start()
        while log._calls.qsize() < 8:
            pass
        other.execute("ROLLBACK")
        for thread in threads:
            thread.join()
        sizes = [row[0] for row in other.execute("SELECT size FROM checkpoint ORDER BY size")]
    assert sorted(results) == list(range(1, 10))
    assert sizes == [0, 1, 2, 10]


def test_many_processes_keep_one_history(log: SqliteAuditLog, data: Path) -> None:
    """Three processes append at once: every acknowledged record at its position, one history."""
    writers = [start_writer(data, f"p{n}", 15) for n in range(3)]
    acknowledged = {}
    for writer in writers:
        out, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        acknowledged.update(line.split() for line in out.splitlines())
    records = stored(data)
    assert len(acknowledged) == len(records) == 90
    for position, subject in acknowledged.items():
        assert f'"{subject}"'.encode() in records[int(position)]
    result = log.verify()
    assert (result.ok, result.size) == (True, 90)


def test_kill_nine_loses_nothing_acknowledged(
    log: SqliteAuditLog, record: Make, data: Path
) -> None:
    """Four writers killed in the middle of appending: what was acknowledged is there and signed."""
    acknowledged: dict[str, str] = {}
    for number in range(4):
        writer = start_writer(data, f"round{number}", 100_000)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(3 + 5 * number)]
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        assert writer.returncode == -signal.SIGKILL
        lines += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        acknowledged.update(line.split() for line in lines)
        records = stored(data)
        for position, subject in acknowledged.items():
            assert f'"{subject}"'.encode() in records[int(position)]
        assert log.verify().ok
    assert log.append([record()]) == len(stored(data)) - 1
    assert log.verify().ok


def test_a_full_disk_appends_nothing(log: SqliteAuditLog, record: Make, data: Path) -> None:
    """The caller is told, no part of the batch stays, and the log goes on when there is room."""
    log.append([record(0)])
    pages = log._connection.execute("PRAGMA page_count").fetchone()[0]
    log._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Unavailable) as caught:
        log.append([record(n) for n in range(1, 900)])
    assert caught.value.code == "store-full"
    assert len(stored(data)) == 1
    assert log.verify().ok
    log._connection.execute("PRAGMA max_page_count=1000000")
    assert log.append([record(1)]) == 1
    assert log.verify().ok


def test_a_locked_file_appends_nothing(data: Path, log: SqliteAuditLog, record: Make) -> None:
    """Whoever holds the lock too long makes appending fail, not hang."""
    with (
        closing(
            SqliteAuditLog(data / "audit.sqlite", load_audit_key(data), busy_seconds=0.05)
        ) as hasty,
        closing(sqlite3.connect(data / "audit.sqlite", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        assert refusal(hasty, record()) == "store-busy"
        other.execute("ROLLBACK")
        assert stored(data) == []
        assert hasty.append([record()]) == 0


def test_a_closed_log_refuses(log: SqliteAuditLog, record: Make) -> None:
    """After close nothing is appended, and closing twice is fine."""
    log.append([record()])
    log.close()
    log.close()
    assert refusal(log, record()) == "audit-closed"


def test_closing_finishes_what_was_handed_in(data: Path, log: SqliteAuditLog, record: Make) -> None:
    """Callers that wait while the log closes get their answer, whatever it is, and it is true."""
    outcomes: list[int | str] = []

    def write() -> None:
        try:
            outcomes.append(log.append([record()]))
        except Unavailable as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=write) for _ in range(12)]
    for thread in threads:
        thread.start()
    log.close()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 12
    assert set(outcomes) <= {*range(12), "audit-closed"}
    assert sum(isinstance(outcome, int) for outcome in outcomes) == len(stored(data))


def test_a_connection_that_broke_is_unavailable(log: SqliteAuditLog, record: Make) -> None:
    """An error from below reaches every caller; none waits for ever."""
    log.append([record()])
    log._connection.close()
    assert refusal(log, record()) == "store-closed"


def test_our_own_mistake_reaches_the_caller(
    log: SqliteAuditLog, record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an unforeseen exception in the writer ends the wait, and appends nothing."""
    monkeypatch.setattr(log, "_head", lambda: 1 / 0)
    with pytest.raises(InternalError) as caught:
        log.append([record()])
    assert caught.value.code == "audit-failed"
    monkeypatch.undo()
    assert log.append([record()]) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_may_not_append(log: SqliteAuditLog, record: Make, data: Path) -> None:
    """The writer thread does not live in a fork; appending there must not wait for it."""
    log.append([record(0)])
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that waits for the missing thread dies instead of hanging us
        try:
            log.append([record(1)])
        except Unavailable as error:
            os._exit(7 if error.code == "audit-closed" else 8)
        os._exit(9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert len(stored(data)) == 1


def test_what_cannot_be_a_record_is_refused(log: SqliteAuditLog, record: Make, data: Path) -> None:
    """No record, too many, too large, or without canonical bytes: nothing is appended."""
    with pytest.raises(ValueError, match="1 to 1,000"):
        log.append([])
    with pytest.raises(ValueError, match="1 to 1,000"):
        log.append([record()] * 1001)
    with pytest.raises(InternalError):
        log.append([record(), record(run="x" * MAX_RECORD_BYTES)])
    with pytest.raises(ValueError, match="surrogates"):
        log.append([record(), record(run="\ud800")])
    assert stored(data) == []


def test_a_missing_log_is_not_begun_anew(data: Path, log: SqliteAuditLog, record: Make) -> None:
    """Deleting the file stops the runs; only ``create`` begins a log."""
    log.append([record()])
    log.close()
    for path in data.glob("audit.sqlite*"):
        path.unlink()
    with pytest.raises(Unavailable) as caught:
        SqliteAuditLog(data / "audit.sqlite", load_audit_key(data))
    assert caught.value.code == "audit-missing"
    (data / "audit.sqlite").touch(mode=0o600)
    with pytest.raises(Unavailable) as caught:
        SqliteAuditLog(data / "audit.sqlite", load_audit_key(data))
    assert caught.value.code == "audit-damaged"
    SqliteAuditLog(data / "audit.sqlite", load_audit_key(data), create=True).close()


def test_an_emptied_log_is_not_begun_anew(data: Path, log: SqliteAuditLog, record: Make) -> None:
    """Tables cleared by SQL are damage, even where a new log could be created."""
    log.append([record()])
    log.close()
    attack(data, *((f"DELETE FROM {t}", ()) for t in ("record", "checkpoint", "head")))
    for create in (False, True):
        with pytest.raises(Unavailable) as caught:
            SqliteAuditLog(data / "audit.sqlite", load_audit_key(data), create=create)
        assert caught.value.code == "audit-damaged"


def test_another_key_does_not_continue_the_log(
    data: Path, log: SqliteAuditLog, record: Make
) -> None:
    """A second key would start a second history in one file."""
    log.append([record()])
    key = load_audit_key(data).private_key
    with pytest.raises(Unavailable) as caught:
        SqliteAuditLog(data / "audit.sqlite", Signer("ringfence/other", key))
    assert caught.value.code == "audit-damaged"


def forge(data: Path, position: int, new: bytes) -> list[tuple[str, Iterable[object]]]:
    """Give the SQL that rewrites one record, its leaf hash and the head, consistently."""
    records = stored(data)
    records[position] = new
    frontier = Frontier().extend(leaf_hash(one) for one in records)
    return [
        (
            "UPDATE record SET data = ?, leaf = ? WHERE position = ?",
            (new, leaf_hash(new), position),
        ),
        ("UPDATE head SET frontier = ?", (frontier.to_bytes(),)),
    ]


def test_forged_history_with_a_consistent_head_is_named(
    log: SqliteAuditLog, record: Make, data: Path
) -> None:
    """Guard off: leaf hashes and head alone accept the forgery. The checkpoint names the record."""
    for number in range(6):
        log.append([record(number)])
    attack(data, *forge(data, 3, record(99).canonical()))
    with closing(sqlite3.connect(data / "audit.sqlite")) as connection:
        rows = connection.execute("SELECT data, leaf FROM record ORDER BY position").fetchall()
        head = connection.execute("SELECT frontier FROM head").fetchone()[0]
    assert all(leaf_hash(one) == leaf for one, leaf in rows)
    assert Frontier().extend(leaf for _, leaf in rows).to_bytes() == head
    result = log.verify()
    assert (result.ok, result.flaw, result.first_bad) == (False, Flaw.REWRITTEN, 3)


def test_a_head_beside_the_true_checkpoint_is_not_signed(
    log: SqliteAuditLog, record: Make, data: Path
) -> None:
    """A forged head of the right size is compared with what was signed at that size."""
    log.append([record(n) for n in range(3)])
    attack(data, *forge(data, 1, record(99).canonical()))
    log.close()
    with pytest.raises(Unavailable) as caught:
        SqliteAuditLog(data / "audit.sqlite", load_audit_key(data))
    assert "not the one that was signed" in caught.value.message


@pytest.mark.parametrize("reopened", [False, True])
def test_a_forged_head_is_not_signed(
    log: SqliteAuditLog,
    record: Make,
    data: Path,
    reopened: bool,  # noqa: FBT001 - a table of cases
) -> None:
    """Guard off: signing the head in the file launders the forgery. Ours stops appending."""
    for number in range(6):
        log.append([record(number)])
    attack(data, *forge(data, 3, record(99).canonical()), ("DELETE FROM checkpoint", ()))

    signer = load_audit_key(data)
    with closing(sqlite3.connect(data / "audit.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute("SELECT frontier FROM head").fetchone()[0]
        data_new = record(6).canonical()
        grown = Frontier.from_bytes(found).extend([leaf_hash(data_new)])
        note = sign(Checkpoint(signer.origin, grown.size, grown.root()), signer)
        connection.execute(
            "INSERT INTO record VALUES (6, ?, ?, 'r1')", (data_new, leaf_hash(data_new))
        )
        connection.execute("INSERT INTO checkpoint VALUES (7, ?)", (note,))
        connection.execute("UPDATE head SET frontier = ?", (grown.to_bytes(),))
        connection.execute("COMMIT")
        assert log.verify().ok
        connection.execute("DELETE FROM record WHERE position = 6")
        connection.execute("DELETE FROM checkpoint")
        connection.execute("UPDATE head SET frontier = ?", (found,))

    if reopened:
        with pytest.raises(Unavailable) as caught:
            SqliteAuditLog(data / "audit.sqlite", signer)
        assert caught.value.code == "audit-damaged"
    else:
        assert refusal(log, record(6)) == "audit-damaged"
    assert len(stored(data)) == 6
    assert not log.verify().ok


def test_a_log_put_back_under_a_running_writer_is_noticed(
    log: SqliteAuditLog, record: Make, data: Path
) -> None:
    """Guard off: a newly opened log accepts the older state. One that remembers does not."""
    log.append([record(0)])
    with closing(sqlite3.connect(data / "audit.sqlite")) as connection:
        before = connection.execute("SELECT frontier FROM head").fetchone()[0]
    log.append([record(1)])
    attack(
        data,
        ("DELETE FROM record WHERE position > 0", ()),
        ("DELETE FROM checkpoint WHERE size > 1", ()),
        ("UPDATE head SET frontier = ?", (before,)),
    )
    SqliteAuditLog(data / "audit.sqlite", load_audit_key(data)).close()
    assert refusal(log, record(2)) == "audit-damaged"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM record WHERE position = 2", "UPDATE head SET frontier = x'00'",
        "DELETE FROM head", "INSERT INTO record VALUES (3, x'7b7d', x'00', NULL)",
        "UPDATE head SET frontier = zeroblob(8)",
    ],
)  # fmt: skip
def test_a_damaged_log_is_not_appended_to(
    log: SqliteAuditLog, record: Make, data: Path, change: str
) -> None:
    """Head and records must fit before anything new is signed."""
    log.append([record(n) for n in range(3)])
    attack(data, (change, ()))
    before = stored(data)
    assert refusal(log, record()) == "audit-damaged"
    assert stored(data) == before
