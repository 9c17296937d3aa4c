"""Live progress and the summary at the end, for people; one JSON object for programs."""

import json
import sys
import time

import click

from ringfence.apps.cli.tables import echo_table
from ringfence.apps.runview import load_view, write_html
from ringfence.apps.settings import DataDir
from ringfence.chain.show import plain
from ringfence.chain.words import Json
from ringfence.control.runs import RunRow, RunStatus, exit_code
from ringfence.control.tables import run_tables
from ringfence.store.state import StateStore

# A log is verified at about 40,000 records a second; the end of a run must not wait for more.
VERIFIED_RECORDS = 10_000
STYLES = {"succeeded": "green", "failed": "red", "timed-out": "red", "denied": "yellow"}


class Printer:
    """Prints progress lines as they come; ``bare`` passes the agent's own lines to stdout."""

    def __init__(self, *, agents: list[str], bare: bool = False) -> None:
        self._width = max([len(name) for name in agents] + [8])
        self._bare = bare
        self._begin = time.monotonic()
        self.exit_code: int | None = None
        self.refused = False
        self.hint = ""

    def started(self, row: RunRow) -> None:
        """Say which run began."""
        click.echo(f"run {row.id}: {row.chain}", err=True)

    def line(self, message: dict[str, Json]) -> None:
        """Print one progress line."""
        agent = plain(str(message.get("agent") or ""))
        match message.get("kind"):
            case "line" if self._bare:
                click.echo(str(message.get("text")))
            case "line":
                self._say(agent, f"| {message.get('text')}")
            case "step":
                self._step(agent, message)
            case "event":
                self._say(agent, f"emitted {message.get('event')}")
            case "denied":
                self._say(agent, f"denied {message.get('what')}: {message.get('rule')}", "denied")
            case "merge":
                word = "held" if message.get("verdict") == "ask" else "dropped"
                self._say(agent, f"{word} {message.get('path')}: {message.get('rule')}", "denied")
            case "finding":
                self._say(agent, f"redacted: {message.get('text')}", "denied")
            case "review":
                self._say(agent, f"asks: {message.get('title')} ({message.get('review')})")
            case "error":
                self.refused = message.get("refused") is True
                self._error(message)
            case _:
                return

    def _step(self, agent: str, message: dict[str, Json]) -> None:
        status = str(message.get("status"))
        code = message.get("exit_code")
        if isinstance(code, int):
            self.exit_code = code
        text = status
        if message.get("reason"):
            text += f": {message['reason']}"
        self.hint = str(message.get("hint") or "")
        if status == "failed":
            self.refused = message.get("refused") is True
        self._say(agent, text, status)

    def _error(self, message: dict[str, Json]) -> None:
        place = f" at {message['where']}" if message.get("where") else ""
        text = f"error: {message.get('code')}: {message.get('message')}{place}"
        click.echo(plain(text), err=True)
        if message.get("hint"):
            click.echo(plain(f"hint: {message['hint']}"), err=True)

    def _say(self, agent: str, text: str, style: str = "") -> None:
        seconds = time.monotonic() - self._begin
        line = f"{seconds:6.1f}s {agent.ljust(self._width)} {plain(text)}"
        colour = STYLES.get(style) if sys.stderr.isatty() else None
        click.echo(click.style(line, fg=colour) if colour else line, err=True)


def finish(data: DataDir, row: RunRow, printer: Printer, *, as_json: bool) -> int:
    """Print the summary of a run that ended or rests, and give its exit code."""
    state = StateStore(data.state)
    try:
        reviews = state.reviews(run=row.id, pending=True)
    finally:
        state.close()
    refused = printer.refused and row.status is RunStatus.FAILED
    code = exit_code(row.status, open_reviews=len(reviews), refused=refused)
    view = load_view(data, row.id, most=VERIFIED_RECORDS)
    report = write_html(data, row.id, view)
    if as_json:
        body = {
            "version": 1,
            "run": row.id,
            "status": row.status.value,
            "reason": row.reason,
            "exit": code,
            "steps": [
                {"agent": s.agent, "attempt": s.attempt, "status": s.status}
                for agent in view.agents
                for s in agent.steps
            ],
            "reviews": [
                {"id": r.id, "kind": r.kind.value, "title": r.title, "digest": r.digest}
                for r in reviews
            ],
            "report": str(report),
        }
        click.echo(json.dumps(body))
        _why(row, printer)
        return code
    for table in run_tables(view):
        click.echo(f"\n{table.title}", err=True)
        echo_table(table.columns, table.rows, err=True)
    click.echo(f"\nrun {row.id} {row.status.value}", err=True)
    _why(row, printer)
    for review in reviews:
        click.echo(f"waits for you: ringfence review show {review.id}", err=True)
    click.echo(f"report: {report}", err=True)
    return code


def _why(row: RunRow, printer: Printer) -> None:
    """Say why a run did not succeed and what to do, once it is known."""
    if row.reason:
        click.echo(f"error: {plain(row.reason)}", err=True)
        hint = printer.hint or f"ringfence runs show {row.id}"
        click.echo(f"hint: {plain(hint)}", err=True)
