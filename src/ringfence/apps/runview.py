"""The view of a run as the commands show it, built from the audit log alone."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from ringfence.apps.opening import read_audit
from ringfence.apps.report.page import write_report
from ringfence.apps.settings import DataDir
from ringfence.audit.record import EventName, Record
from ringfence.audit.verify import Entry
from ringfence.chain.errors import Unavailable
from ringfence.control.reading import read_run
from ringfence.control.view import RunView, Verification


def record_of(data: bytes) -> Record:
    """Rebuild a record from its stored bytes. Raises ValueError or KeyError for foreign ones."""
    body: dict[str, Any] = json.loads(data)
    version = body.pop("v")
    if version != 1:
        raise ValueError(f"unknown record version {version}")
    return Record(
        time=datetime.fromisoformat(body.pop("time")), event=EventName(body.pop("event")), **body
    )


def load_view(data: DataDir, run: str, *, most: int | None = None) -> RunView:
    """Read the records of a run and build its view.

    The whole log is verified on the way, unless it holds more than ``most`` records: then the view
    says that it was not checked. Raises Unavailable when a record is not one of ours any more.
    """
    log = read_audit(data)
    entries = [(entry.position, _record(entry)) for entry in log.read(run=run)]
    last = max((position for position, _ in entries), default=0)
    if most is not None and last >= most:
        return read_run(run, entries)
    checked = log.verify()
    verification = Verification(
        ok=checked.ok, size=checked.size, first_bad=checked.first_bad, reason=checked.reason
    )
    return read_run(run, entries, verification=verification)


def _record(entry: Entry) -> Record:
    try:
        return record_of(entry.data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unavailable(
            "audit-broken",
            f"the record at position {entry.position} cannot be read",
            hint="ringfence audit verify",
        ) from error


def write_html(data: DataDir, run: str, view: RunView) -> Path:
    """Write the HTML report into the run's directory and give its path."""
    path = data.run(run) / "report.html"
    write_report(view, path)
    return path
