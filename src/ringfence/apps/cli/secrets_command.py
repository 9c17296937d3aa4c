"""``ringfence secrets``: put secrets into the vault; nothing ever prints one."""

import json
import sys
from datetime import UTC, datetime

import click

from ringfence.apps.cli.tables import echo_table
from ringfence.apps.opening import open_audit, open_secrets
from ringfence.apps.settings import open_data_dir, person
from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import InputError
from ringfence.checks.output.encodings import LONGEST_VALUE, forms
from ringfence.store.secrets import check_name


@click.group("secrets")
def command() -> None:
    """Set, list and remove secrets."""


@command.command("set")
@click.argument("name")
@click.argument("more", nargs=-1, metavar="", type=click.UNPROCESSED)
@click.option("--stdin", "from_stdin", is_flag=True, help="read the value from standard input")
@click.pass_obj
def set_secret(data_dir: str | None, name: str, more: tuple[str, ...], *, from_stdin: bool) -> int:
    """Store a new version of secret NAME. The value is asked for, never an argument."""
    if more:
        # A usage error would repeat what was typed, in front of whoever reads the log.
        raise InputError(
            "value-as-argument",
            "the value of a secret is never an argument: other users see those",
            hint="use --stdin or the prompt, and change the secret if what you typed was real",
        )
    # A value given where the name belongs must not get as far as the audit log.
    check_name(name)
    if from_stdin:
        # Longer than any value by more than the line end that is taken off, so none is cut.
        value = sys.stdin.buffer.read(LONGEST_VALUE + len(b"\r\n") + 1)
        value = value.removesuffix(b"\n").removesuffix(b"\r")
    else:
        if not sys.stdin.isatty():
            raise InputError(
                "no-terminal", "there is no terminal to ask on", hint="use --stdin in scripts"
            )
        value = str(click.prompt(f"value of {name}", hide_input=True, err=True)).encode()
    if not value:
        raise InputError("empty-secret", f"the value of {name} is empty", hint="give a value")
    # A value that cannot be found again in outputs would make every run with this vault fail.
    forms(value)
    data = open_data_dir(data_dir)
    now = datetime.now(UTC)
    actor = person()
    with open_audit(data) as audit, open_secrets(data) as secrets:
        record = Record(time=now, event=EventName.SECRET_SET, actor=actor, subject=name)
        audit.append([record])
        version = secrets.set(name, value, actor=actor, now=now)
    click.echo(f"secret {name} version {version} stored", err=True)
    return 0


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def list_secrets(data_dir: str | None, *, as_json: bool) -> int:
    """List names, versions and dates; never values."""
    with open_secrets(open_data_dir(data_dir)) as secrets:
        entries = secrets.list()
    if as_json:
        rows = [
            {"name": e.name, "version": e.version, "created": e.created.isoformat()}
            for e in entries
        ]
        click.echo(json.dumps({"version": 1, "secrets": rows}))
        return 0
    if not entries:
        click.echo("no secrets; add one with: ringfence secrets set NAME", err=True)
        return 3
    echo_table(
        ("secret", "version", "set"),
        [(e.name, str(e.version), f"{e.created:%Y-%m-%d %H:%M:%S}") for e in entries],
    )
    return 0


@command.command("rm")
@click.argument("name")
@click.pass_obj
def remove(data_dir: str | None, name: str) -> int:
    """Remove secret NAME with all its versions."""
    data = open_data_dir(data_dir)
    with open_audit(data) as audit, open_secrets(data) as secrets:
        if name not in {e.name for e in secrets.list()}:
            raise InputError("unknown-secret", f"no secret {name!r}", hint="ringfence secrets list")
        record = Record(
            time=datetime.now(UTC), event=EventName.SECRET_REMOVE, actor=person(), subject=name
        )
        audit.append([record])
        secrets.remove(name)
    click.echo(f"secret {name} removed", err=True)
    return 0
