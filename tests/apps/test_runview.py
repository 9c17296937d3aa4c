"""A run is shown from the log alone: a record that is not ours stops the view, not the program."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ringfence.apps.opening import open_audit
from ringfence.apps.runview import load_view, record_of, write_html
from ringfence.apps.settings import DataDir, open_data_dir
from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import Unavailable

RECORD = Record(
    time=datetime(2026, 11, 21, 12, 30, 1, 5, tzinfo=UTC),
    event=EventName.RUN_START,
    actor="user:ana",
    run="r1",
    subject="test",
    digest="0" * 64,
    detail={"file": "c.json", "agents": []},
)


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """A data directory whose log holds one run."""
    made = open_data_dir(str(tmp_path / "data"))
    made.run("r1").mkdir(parents=True)
    with open_audit(made) as log:
        log.append([RECORD])
    return made


def spoil(data: DataDir, content: bytes) -> None:
    """Replace the stored bytes of the record."""
    database = sqlite3.connect(data.audit, isolation_level=None)
    database.execute("UPDATE record SET data = ?", (content,))
    database.close()


def test_a_record_comes_back_as_it_was() -> None:
    """Every field, to the microsecond."""
    assert record_of(RECORD.canonical()) == RECORD


def test_the_view_says_whether_the_log_verifies(data: DataDir) -> None:
    """Good before one byte of a value is changed, bad after it, in view and report."""
    view = load_view(data, "r1")
    assert view.verification is not None
    assert view.verification.ok
    body = json.loads(RECORD.canonical())
    body["actor"] = "user:eve"
    spoil(data, json.dumps(body).encode())
    edited = load_view(data, "r1")
    assert edited.verification is not None
    assert not edited.verification.ok
    assert edited.verification.first_bad == 0
    page = write_html(data, "r1", edited)
    assert page.read_text() != write_html(data, "r1", view).read_text()


def test_a_long_log_is_not_verified_unasked(data: DataDir) -> None:
    """The view then says that it was not checked, never that it was."""
    assert load_view(data, "r1", most=0).verification is None


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"[]", b"7", b"{}", b'{"v":2}', b'{"v":1,"time":"x","event":"run.start"}',
     b'{"v":1,"time":"2026-11-21T12:00:00+00:00","event":"no.such","actor":"a"}',
     b'{"v":1,"time":"2026-11-21T12:00:00+00:00","event":"run.start","actor":"a","more":1}',
     b"[" * 100_000],
    ids=lambda c: c[:40].decode("latin-1"),
)  # fmt: skip
def test_a_damaged_record_is_named(data: DataDir, content: bytes) -> None:
    """With its position and the command that tells more; no other exception gets out."""
    spoil(data, content)
    with pytest.raises(Unavailable) as broken:
        load_view(data, "r1")
    assert broken.value.code == "audit-broken"
    assert "position 0" in broken.value.message
    assert "audit verify" in broken.value.hint
