"""``ringfence exec``: one command in a box, by the same path as a chain of one agent."""

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.apps.cli.progress import Printer, finish
from ringfence.apps.cli.run_command import run_settings
from ringfence.apps.launch import Loaded, create_run, follow
from ringfence.apps.load import load
from ringfence.apps.settings import open_data_dir, person
from ringfence.chain.errors import InputError
from ringfence.chain.grammar import VARIABLE

if TYPE_CHECKING:
    from ringfence.chain.words import Json

VARIABLE_USE = re.compile(rf"\{{{VARIABLE}\}}|\{{\{{{VARIABLE}\}}\}}")


def chain_of_one(
    argv: tuple[str, ...], hosts: tuple[str, ...], *, merge: str, terminal: bool
) -> bytes:
    """Write the chain file that says what the command line says."""
    # An argument that looks like a variable goes through one: values are never expanded again.
    looks = {f"ARG{i}": part for i, part in enumerate(argv) if VARIABLE_USE.fullmatch(part)}
    agent: dict[str, Json] = {
        "name": "command",
        "type": "cli" if terminal else "script",
        "run": [f"{{ARG{i}}}" if f"ARG{i}" in looks else part for i, part in enumerate(argv)],
        "triggers": ["chain:start"],
        "emits": ["chain:complete"],
        "workspace": {"type": "local", "directory": "."},
        "merge": merge,
        "network": list(hosts),
    }
    chain = {"name": "exec", "variables": looks, "agents": [agent]}
    return json.dumps(chain, indent=1).encode()


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.option("--allow-host", "hosts", multiple=True, metavar="HOST", help="allow this host")
@click.option(
    "--merge",
    type=click.Choice(["hold", "auto", "discard"]),
    default="hold",
    show_default=True,
    help="what happens to changed files",
)
@click.option("--terminal", is_flag=True, help="give the command a terminal")
@click.option("--json", "as_json", is_flag=True)
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@click.pass_obj
def command(
    data_dir: str | None, hosts: tuple[str, ...], merge: str, argv: tuple[str, ...],
    *, terminal: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run CMD in a box: this directory copy-on-write, no network but --allow-host.

    The exit code is the command's own; 4 when the box was refused.
    """
    if "/" not in argv[0]:
        program = shutil.which(argv[0])
        if program is None:
            raise InputError(
                "unknown-command", f"no command {argv[0]!r} on PATH", hint="check PATH"
            )
        if VARIABLE_USE.fullmatch(argv[0]):
            argv = (program, *argv[1:])
    file = str(Path.cwd() / "(ringfence exec)")
    data_bytes = chain_of_one(argv, hosts, merge=merge, terminal=terminal)
    chain = load(data_bytes, file=file, variables={})
    data = open_data_dir(data_dir)
    settings = run_settings(client=None, resolver_map=None, extra_ca=None, wait=False)
    row = create_run(
        data,
        Loaded(chain=chain, data=data_bytes),
        starter=person(),
        variables={},
        settings=settings,
        file=file,
    )
    printer = Printer(agents=[], bare=True)
    ended = follow(data, row.id, on_line=printer.line)
    code = finish(data, ended, printer, as_json=as_json)
    if code in {0, 1, 5} and printer.exit_code is not None:
        return printer.exit_code
    return code
