"""``ringfence doctor``: what this host can enforce, and what to do about what it cannot."""

import json

import click

from ringfence.apps.cli.tables import echo_table
from ringfence.sandbox.host import facts


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True)
def command(*, as_json: bool) -> int:
    """Say for each thing a box needs whether this host gives it, and how to get it."""
    found = facts()
    if as_json:
        click.echo(json.dumps({"version": 1, **found.to_json()}))
    else:
        echo_table(
            ("fact", "state", "value", "fix"),
            [(f.name, "ok" if f.ok else "missing", f.value, f.fix) for f in found.facts],
        )
        level = "L3 (native)" if found.can_box else "none: no box can start"
        click.echo(f"\nisolation: {level}", err=True)
    return 0 if found.can_box else 1
