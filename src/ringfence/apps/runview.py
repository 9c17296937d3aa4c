"""The view of a run as the commands show it, built from the audit log alone."""

import json
from pathlib import Path

from ringfence.apps.opening import open_audit
from ringfence.apps.report import write_report
from ringfence.apps.settings import DataDir
from ringfence.control.view import RunView, build_view


def load_view(data: DataDir, run: str) -> RunView:
    """Read the records of a run and build its view; the log is verified on the way."""
    with open_audit(data) as log:
        entries = [(e.position, json.loads(e.data)) for e in log.read(run=run)]
        return build_view(run, entries, log.verify())


def write_html(data: DataDir, run: str, view: RunView) -> Path:
    """Write the HTML report into the run's directory and give its path."""
    path = data.run(run) / "report.html"
    write_report(view, path)
    return path
