"""Reading and verifying with the public key, never changing anything."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.audit.verify import Flaw
from ringfence.chain.errors import Unavailable
from ringfence.store.audit_log import SqliteAuditLog
from ringfence.store.audit_reader import PAGE_RECORDS, AuditReader
from ringfence.store.keys import load_audit_public

Make = Callable[..., Record]


@pytest.fixture
def reader(data: Path, log: SqliteAuditLog) -> AuditReader:
    """A reader that has the public key only."""
    return AuditReader(data / "audit.sqlite", load_audit_public(data))


def attack(data: Path, text: str, *values: object) -> None:
    """Run SQL on the file, as someone who holds it would."""
    with closing(sqlite3.connect(data / "audit.sqlite", isolation_level=None)) as connection:
        connection.execute(text, values)


def test_records_come_back_as_they_were(
    reader: AuditReader, log: SqliteAuditLog, record: Make
) -> None:
    """Position and bytes of every record, in order."""
    records = [record(n) for n in range(5)]
    log.append(records)
    assert [(e.position, e.data) for e in reader.read()] == [
        (n, r.canonical()) for n, r in enumerate(records)
    ]


def test_filters_by_run_event_and_position(
    reader: AuditReader, log: SqliteAuditLog, record: Make
) -> None:
    """Each filter alone and all together."""
    log.append(
        [
            record(0, run="a"), record(1, run="b"), record(2, run="a", event="run.finish"),
            record(3, run=None), record(4, run="a"),
        ]
    )  # fmt: skip

    def positions(**how: object) -> list[int]:
        return [entry.position for entry in reader.read(**how)]  # type: ignore[arg-type]

    assert positions(run="a") == [0, 2, 4]
    assert positions(event=EventName.RUN_FINISH) == [2]
    assert positions(since=3) == [3, 4]
    assert positions(run="a", event=EventName.EGRESS_DENY, since=1) == [4]
    assert positions(run="none") == []


def test_pages_join_without_seams(reader: AuditReader, log: SqliteAuditLog, record: Make) -> None:
    """More records than two pages come once each, in order."""
    count = 2 * PAGE_RECORDS + 1
    log.append([record(n) for n in range(1000)])
    log.append([record(n) for n in range(1000, count)])
    assert [entry.position for entry in reader.read()] == list(range(count))
    assert [entry.position for entry in reader.read(run="r1")] == list(range(count))


def test_verifying_needs_the_public_key_only(
    reader: AuditReader, log: SqliteAuditLog, record: Make, data: Path
) -> None:
    """With the private key gone the log still verifies."""
    log.append([record()])
    (data / "audit.key").unlink()
    result = reader.verify()
    assert (result.ok, result.size, result.checked) == (True, 1, 1)


def test_a_missing_log_is_not_made(data: Path, reader: AuditReader, log: SqliteAuditLog) -> None:
    """Looking at a log never begins one."""
    log.close()
    for path in data.glob("audit.sqlite*"):
        path.unlink()
    for look in (reader.verify, reader.checkpoint, lambda: list(reader.read())):
        with pytest.raises(Unavailable) as caught:
            look()
        assert caught.value.code == "audit-missing"
    assert not (data / "audit.sqlite").exists()


def test_the_newest_checkpoint_can_be_kept_elsewhere(
    reader: AuditReader, log: SqliteAuditLog, record: Make
) -> None:
    """What was kept is accepted as an anchor later."""
    log.append([record(0)])
    kept = reader.checkpoint()
    log.append([record(1)])
    assert reader.checkpoint() != kept
    assert reader.verify(anchors=[kept]).ok
    assert reader.verify(anchors=[reader.checkpoint(), kept]).ok


def test_a_kept_checkpoint_shows_a_log_put_back(
    reader: AuditReader, log: SqliteAuditLog, record: Make, data: Path
) -> None:
    """Guard off: the older state verifies by itself. With the kept checkpoint it does not."""
    log.append([record(0)])
    with closing(sqlite3.connect(data / "audit.sqlite")) as connection:
        before = connection.execute("SELECT frontier FROM head").fetchone()[0]
    log.append([record(1), record(2)])
    kept = reader.checkpoint()
    log.close()
    attack(data, "DELETE FROM record WHERE position > 0")
    attack(data, "DELETE FROM checkpoint WHERE size > 1")
    attack(data, "UPDATE head SET frontier = ?", before)
    assert reader.verify().ok
    result = reader.verify(anchors=[kept])
    assert (result.flaw, result.first_bad) == (Flaw.TRUNCATED, 1)


def test_a_log_without_checkpoints_has_none_to_give(
    reader: AuditReader, log: SqliteAuditLog, data: Path
) -> None:
    """There is nothing to keep, and that is damage."""
    attack(data, "DELETE FROM checkpoint")
    with pytest.raises(Unavailable) as caught:
        reader.checkpoint()
    assert caught.value.code == "audit-damaged"


def test_a_forged_anchor_is_reported(reader: AuditReader, log: SqliteAuditLog) -> None:
    """An anchor that is no checkpoint of this log is not skipped."""
    for junk in (b"", b"junk", log.checkpoint()[:-4]):
        assert reader.verify(anchors=[junk]).flaw == Flaw.FORGED_CHECKPOINT


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE record SET data = x'7b7d' WHERE position = 3", (Flaw.EDITED, 3)),
        ("DELETE FROM record WHERE position = 3", (Flaw.MISSING, 3)),
        ("DELETE FROM record WHERE position = 5", (Flaw.TRUNCATED, 5)),
        ("DELETE FROM record", (Flaw.TRUNCATED, 0)),
        ("DELETE FROM checkpoint WHERE size = 6", (Flaw.UNSIGNED_TAIL, 5)),
        ("DELETE FROM checkpoint", (Flaw.NO_CHECKPOINT, 0)),
        ("UPDATE checkpoint SET note = x'00' WHERE size = 4", (Flaw.FORGED_CHECKPOINT, 3)),
        ("UPDATE record SET position = position + 1 WHERE position = 5", (Flaw.MISSING, 5)),
        ("UPDATE head SET frontier = x'00'", (Flaw.DAMAGED_HEAD, None)),
        ("UPDATE head SET frontier = zeroblob(8)", (Flaw.DAMAGED_HEAD, None)),
        ("DELETE FROM head", (Flaw.DAMAGED_HEAD, None)),
        ("UPDATE record SET run = 'other' WHERE position = 2", (Flaw.DAMAGED_HEAD, None)),
        ("UPDATE record SET run = NULL WHERE position = 2", (Flaw.DAMAGED_HEAD, None)),
    ],
)  # fmt: skip
def test_changes_in_the_file_are_named(
    log: SqliteAuditLog, record: Make, data: Path, change: str, expected: tuple[Flaw, int | None]
) -> None:
    """Each change by SQL has its flaw and, where there is one, its position."""
    for number in range(6):
        log.append([record(number)])
    assert log.verify().ok
    attack(data, change)
    result = log.verify()
    assert not result.ok
    assert (result.flaw, result.first_bad) == expected


def test_a_record_filed_under_another_run_is_hidden_and_reported(
    reader: AuditReader, log: SqliteAuditLog, record: Make, data: Path
) -> None:
    """The filter believes the column, so verifying checks the column against the bytes."""
    log.append([record(n) for n in range(3)])
    attack(data, "UPDATE record SET run = 'other' WHERE position = 1")
    assert [entry.position for entry in reader.read(run="r1")] == [0, 2]
    assert "record 1" in reader.verify().reason


def test_bytes_of_another_type_are_an_edit(
    reader: AuditReader, log: SqliteAuditLog, record: Make, data: Path
) -> None:
    """A table made anew with loose types is read without a crash and fails to verify."""
    log.append([record(n) for n in range(3)])
    attack(data, "CREATE TABLE loose AS SELECT * FROM record")
    attack(data, "DROP TABLE record")
    attack(data, "ALTER TABLE loose RENAME TO record")
    attack(data, "UPDATE record SET data = 17, leaf = 'text' WHERE position = 1")
    result = reader.verify()
    assert (result.flaw, result.first_bad) == (Flaw.EDITED, 1)
    attack(data, "UPDATE record SET position = 'one'")
    with pytest.raises(Unavailable) as caught:
        reader.verify()
    assert caught.value.code == "audit-damaged"


def test_verifying_while_others_append_sees_one_moment(
    reader: AuditReader, log: SqliteAuditLog, record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that arrive between reading records and checkpoints do not look unsigned or cut."""
    log.append([record(0)])
    original = AuditReader._entries

    def appending(self: AuditReader, *given: object) -> object:
        log.append([record(1)])
        return original(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(AuditReader, "_entries", appending)
    assert (reader.verify().ok, reader.verify().size) == (True, 2)
