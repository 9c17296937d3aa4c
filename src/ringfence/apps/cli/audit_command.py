"""``ringfence audit``: read the record, and check that nobody edited it."""

import json

import click

from ringfence.apps.opening import read_audit
from ringfence.apps.settings import open_data_dir
from ringfence.audit.record import EventName
from ringfence.audit.show import line
from ringfence.audit.verify import Entry
from ringfence.chain.errors import Unavailable
from ringfence.chain.words import Json


@click.group("audit")
def command() -> None:
    """Show and verify the audit log."""


@command.command("show")
@click.option("--run", help="only this run")
@click.option(
    "--event",
    type=click.Choice([e.value for e in EventName]),
    metavar="NAME",
    help="only this event",
)
@click.option("--denied", is_flag=True, help="only what was denied or asked")
@click.option("--json", "as_json", is_flag=True, help="one JSON object a line")
@click.pass_obj
def show(
    data_dir: str | None, run: str | None, event: str | None, *, denied: bool, as_json: bool
) -> int:
    """Show records, oldest first."""
    shown = 0
    log = read_audit(open_data_dir(data_dir))
    for entry in log.read(run=run, event=EventName(event) if event else None):
        body = _body(entry)
        # A record that cannot be read may have been a denial: it is never left out.
        if denied and body.get("decision") not in {"deny", "ask"} and "unreadable" not in body:
            continue
        shown += 1
        click.echo(json.dumps({"position": entry.position, **body}) if as_json else line(entry))
    return 0 if shown else 3


def _body(entry: Entry) -> dict[str, Json]:
    try:
        body = json.loads(entry.data)
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {"unreadable": len(entry.data)}


@command.command("verify")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def verify(data_dir: str | None, *, as_json: bool) -> int:
    """Check every record against the signed tree; names the first bad position."""
    result = read_audit(open_data_dir(data_dir)).verify()
    if as_json:
        click.echo(
            json.dumps(
                {
                    "version": 1,
                    "ok": result.ok,
                    "size": result.size,
                    "first_bad": result.first_bad,
                    "reason": result.reason,
                }
            )
        )
    elif result.ok:
        click.echo(f"audit verify: ok ({result.size} records)")
    if result.ok:
        return 0
    where = "" if result.first_bad is None else f" at position {result.first_bad}"
    raise Unavailable("audit-broken", f"{result.reason}{where}", hint=result.hint)
