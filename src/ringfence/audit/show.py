"""One record on one line: for a person, and as JSONL for a machine.

Invariants:
1. A line is one line on any terminal: what an agent wrote into a field cannot break it, colour it
   or turn its direction.
2. The JSONL line carries the stored bytes as they are, so it can be verified without the database.

It does not decide which records are shown, nor prints them.
"""

import base64
import json
from typing import Final

from ringfence.audit.verify import Entry
from ringfence.chain.canonical import canonical_json
from ringfence.chain.words import Json

MAX_FIELD_CHARACTERS: Final = 200
_FIELDS: Final = ("actor", "step", "decision", "subject", "rule", "reason", "where")


def line(entry: Entry) -> str:
    """Give the record for a person, long fields cut, without its detail."""
    record = _record(entry.data)
    if record is None:
        return f"{entry.position:>8}  unreadable record of {len(entry.data)} bytes"
    head = f"{entry.position:>8}  {_plain(record.get('time'))}  {_plain(record.get('event')):<16}"
    run = record.get("run")
    parts = [head] if run is None else [head, f"run={_plain(run)}"]
    parts += [f"{name}={_plain(record[name])}" for name in _FIELDS if name in record]
    return "  ".join(parts)


def jsonl(entry: Entry) -> bytes:
    """Give the record for a machine, with its position and leaf hash, ended by a line feed.

    Bytes that are no JSON object (only a damaged log has them) go as base64 under ``bytes``.
    """
    head = b'{"leaf":"%b","position":%d,' % (entry.leaf.hex().encode(), entry.position)
    if _record(entry.data) is None or b"\n" in entry.data or b"\r" in entry.data:
        return head + b'"bytes":"%b"}\n' % base64.b64encode(entry.data)
    return head + b'"record":%b}\n' % entry.data


def _record(data: bytes) -> dict[str, Json] | None:
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _plain(value: Json) -> str:
    text = value if isinstance(value, str) else canonical_json(value).decode()
    if len(text) > MAX_FIELD_CHARACTERS:
        text = text[:MAX_FIELD_CHARACTERS] + "…"
    # Control, format (direction marks) and line separators are not printable in Unicode's sense.
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{shown}"' if " " in shown or not shown else shown
