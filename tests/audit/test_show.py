"""One record, one line, whatever an agent wrote into it."""

import base64
import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ringfence.audit.merkle import leaf_hash
from ringfence.audit.record import EventName, Record
from ringfence.audit.show import jsonl, line
from ringfence.audit.verify import Entry

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def entry(record: Record | bytes) -> Entry:
    """Give the record as stored at position 7."""
    data = record if isinstance(record, bytes) else record.canonical()
    return Entry(position=7, data=data, leaf=leaf_hash(data))


def test_a_line_for_a_person() -> None:
    """Position, time, event, then what happened and why."""
    record = Record(
        time=TIME, event=EventName.EGRESS_DENY, actor="broker", run="r1", step="writer#1",
        decision="deny", subject="POST https://evil.example:443/", rule="no-route",
        reason="no rule names this host", where="chain.yaml:4:7",
    )  # fmt: skip
    assert line(entry(record)) == (
        "       7  2026-01-02T03:04:05.000000+00:00  egress.deny       run=r1  actor=broker  "
        'step=writer#1  decision=deny  subject="POST https://evil.example:443/"  rule=no-route  '
        'reason="no rule names this host"  where=chain.yaml:4:7'
    )


def test_terminal_control_does_not_reach_the_terminal() -> None:
    """Escapes, line breaks and direction marks are shown as text."""
    nasty = "a\x1b[31m\r\nb\u202egnp.exe\u2028c\x00\x9b"
    shown = line(entry(Record(time=TIME, event=EventName.EVENT_DENY, actor="x", subject=nasty)))
    assert nasty in json.loads(entry(Record(time=TIME, event=EventName.EVENT_DENY, actor="x",
                                            subject=nasty)).data)["subject"]  # fmt: skip
    assert shown.isprintable()
    assert r"\x1b[31m\r\nb\u202egnp.exe\u2028c\x00\x9b" in shown


def test_long_fields_are_cut() -> None:
    """A page-long subject does not push the reason away."""
    shown = line(
        entry(Record(time=TIME, event=EventName.EVENT_DENY, actor="x", subject="s" * 9999))
    )
    assert len(shown) < 400


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary())
def test_lines_are_single_lines(text: str, raw: bytes) -> None:
    """For any text in a record, and any bytes in a damaged one."""
    record = Record(time=TIME, event=EventName.EVENT_DENY, actor=text, subject=text)
    for shown in (line(entry(record)), line(entry(raw))):
        assert shown.isprintable()
    for out in (jsonl(entry(record)), jsonl(entry(raw))):
        assert out.endswith(b"\n")
        assert out.count(b"\n") == 1
        assert json.loads(out)["position"] == 7


def test_jsonl_carries_the_stored_bytes() -> None:
    """The record can be hashed again out of the line, without writing JSON anew."""
    stored = entry(Record(time=TIME, event=EventName.RUN_START, actor="é", subject="s"))
    out = jsonl(stored)
    assert out == b'{"leaf":"' + stored.leaf.hex().encode() + b'","position":7,"record":' + (
        stored.data + b"}\n"
    )


def test_damaged_bytes_travel_as_base64() -> None:
    """What is no record any more is still exported, for the investigation."""
    for raw in (b"\xff\x00", b"[1]", b'{"a":\n1}', b"[" * 100_000):
        out = json.loads(jsonl(entry(raw)))
        assert base64.b64decode(out["bytes"]) == raw
        assert "record" not in out
