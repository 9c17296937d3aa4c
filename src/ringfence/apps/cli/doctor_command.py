"""``ringfence doctor``: what this host can enforce, and what to do about what it cannot."""

import json
from dataclasses import asdict

import click

from ringfence.apps.cli.tables import echo_table
from ringfence.sandbox.host import Fact, facts


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True)
def command(*, as_json: bool) -> int:
    """Say for each thing a box needs whether this host gives it, and how to get it."""
    found = facts()
    can_box = not found.missing
    if as_json:
        rows = [asdict(fact) for fact in found.facts]
        click.echo(json.dumps({"version": 1, "can_box": can_box, "facts": rows}))
    else:
        echo_table(
            ("fact", "state", "value", "fix"),
            [(f.name, _state(f), f.value, "" if f.ok else f.fix) for f in found.facts],
        )
        level = "L3 (native)" if can_box else "none: no box can start"
        click.echo(f"\nisolation: {level}", err=True)
    return 0 if can_box else 1


def _state(fact: Fact) -> str:
    if fact.ok:
        return "ok"
    return "missing" if fact.needed else "absent"
