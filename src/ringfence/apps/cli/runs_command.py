"""``ringfence runs``: what ran, how it stands, and how to go on."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import click

from ringfence.apps.cli.progress import Printer, finish
from ringfence.apps.cli.tables import echo_table
from ringfence.apps.launch import follow
from ringfence.apps.runview import load_view, write_html
from ringfence.apps.settings import DataDir, open_data_dir, person
from ringfence.chain.show import plain
from ringfence.control.runs import RunRow, RunStatus
from ringfence.control.tables import run_tables, summary_rows
from ringfence.store.lock import RunLock
from ringfence.store.state import StateStore


@click.group("runs")
def command() -> None:
    """List, show, cancel and resume runs."""


def _row(data: DataDir, run: str) -> RunRow:
    store = StateStore(data.state)
    try:
        return store.run(run)
    finally:
        store.close()


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def list_runs(data_dir: str | None, *, as_json: bool) -> int:
    """List the newest runs first."""
    store = StateStore(open_data_dir(data_dir).state)
    try:
        rows = store.runs()
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps({"version": 1, "runs": [r.to_json() for r in rows]}))
        return 0
    echo_table(
        ("run", "chain", "status", "started", "by"),
        [
            (r.id, r.chain, r.status.value, f"{r.created:%Y-%m-%d %H:%M:%S}", r.starter)
            for r in rows
        ],
    )
    return 0 if rows else 3


@command.command("show")
@click.argument("run")
@click.option("--report", is_flag=True, help="write the HTML report and print its path")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(data_dir: str | None, run: str, *, report: bool, as_json: bool) -> int:
    """Show one run: steps, decisions, egress, findings, reviews."""
    data = open_data_dir(data_dir)
    row = _row(data, run)
    view = load_view(data, row.id)
    if report:
        click.echo(write_html(data, row.id, view))
        return 0
    if as_json:
        body = {
            "summary": dict(summary_rows(view)),
            "tables": [asdict(t) for t in run_tables(view)],
        }
        click.echo(json.dumps({"version": 1, **row.to_json(), **body}))
        return 0
    for label, value in summary_rows(view):
        click.echo(f"{label.ljust(12)} {plain(value)}")
    for table in run_tables(view):
        click.echo(f"\n{table.title}")
        echo_table(table.columns, table.rows)
    return 0


@command.command("cancel")
@click.argument("run")
@click.option("--reason", default="cancelled by a person")
@click.pass_obj
def cancel(data_dir: str | None, run: str, reason: str) -> int:
    """Cancel a run: its boxes end, nothing further starts."""
    data = open_data_dir(data_dir)
    row = _row(data, run)
    if row.status.ended:
        click.echo(f"run {row.id} already {row.status.value}", err=True)
        return 3
    store = StateStore(data.state)
    try:
        store.post(row.id, {"type": "cancel", "by": person(), "reason": reason})
    finally:
        store.close()
    with RunLock(data.run(row.id)) as lock:
        alone = lock.held
    if alone:
        printer = Printer(agents=[])
        row = follow(data, row.id, on_line=printer.line)
    else:
        row = _wait_for_end(data, row.id)
    click.echo(f"run {row.id} {row.status.value}", err=True)
    return 0 if row.status is RunStatus.CANCELLED else 1


def _wait_for_end(data: DataDir, run: str) -> RunRow:
    import time  # noqa: PLC0415 - only this command waits for another process

    deadline = datetime.now(UTC).timestamp() + 10
    row = _row(data, run)
    while not row.status.ended and datetime.now(UTC).timestamp() < deadline:
        time.sleep(0.05)
        row = _row(data, run)
    return row


@command.command("resume")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def resume(data_dir: str | None, run: str, *, as_json: bool) -> int:
    """Go on with a run whose runner ended before the run did."""
    data = open_data_dir(data_dir)
    row = _row(data, run)
    if row.status.ended:
        click.echo(f"run {row.id} already {row.status.value}", err=True)
        return 3
    printer = Printer(agents=[])
    ended = follow(data, row.id, on_line=printer.line)
    return finish(data, ended, printer, as_json=as_json)
