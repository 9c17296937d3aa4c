"""The command line: a click group that imports a command only when it is called.

Invariants:
1. Results go to standard output, talk goes to standard error.
2. The durable engine is never imported here: ``ringfence --version`` stays cheap.
3. Every known error ends as one readable message with a hint and a meaningful exit code.
"""

import importlib
import json
import sys
from typing import Any

import click

from ringfence.apps.settings import host_failed
from ringfence.chain.errors import InputError, InternalError, Refused, RingfenceError

COMMANDS = {
    "audit": "show and verify the audit log",
    "demo": "run the example chain against a planted attack, guard off and on",
    "doctor": "say what this host can enforce",
    "exec": "run one command in a box",
    "explain": "print the full resolved plan of each step of a chain",
    "review": "list, show and answer reviews",
    "run": "run a chain",
    "runs": "list, show, cancel and resume runs",
    "secrets": "set, list and remove secrets",
}


class LazyGroup(click.Group):
    """A group whose commands live one per module and load on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names without importing anything."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"ringfence.apps.cli.{cmd_name}_command")
        command = module.command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; an unknown one gets the nearest name."""
        name = args[0] if args else ""
        if name not in COMMANDS and not name.startswith("-"):
            import difflib  # noqa: PLC0415 - only needed to be kind about a typing error

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no such command {name!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their one line, still without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", metavar="DIR", help="where runs, secrets and the audit log lie")
@click.version_option(package_name="ringfence", prog_name="ringfence")
@click.pass_context
def group(ctx: click.Context, data_dir: str | None) -> None:
    """Run AI-agent chains as if every agent were hostile, and keep the proof."""
    ctx.obj = data_dir


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the house's codes."""
    args = sys.argv[1:] if argv is None else argv
    as_json = "--json" in args
    try:
        code: Any = group.main(args=args, prog_name="ringfence", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        sys.exit(_usage(error, as_json=as_json))
    except RingfenceError as error:
        sys.exit(_report(error, as_json=as_json))
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        sys.exit(_report(host_failed(error), as_json=as_json))
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one readable message
        sys.exit(_report(_unforeseen(error), as_json=as_json))
    sys.exit(code if isinstance(code, int) else 0)


def _unforeseen(error: Exception) -> InternalError:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = ""
    if frame is not None:
        code = frame.tb_frame.f_code
        place = f" in {code.co_name} ({code.co_filename.rpartition('/')[2]}:{frame.tb_lineno})"
    return InternalError(
        "internal-error",
        f"{type(error).__name__}{place}",
        hint="this is our mistake; please report it with the command and this line",
    )


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        body = {"code": "usage", "message": error.format_message(), "hint": "", "where": None}
        click.echo(json.dumps({"version": 1, "error": body}))
    click.echo(f"error: {error.format_message()}", err=True)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"hint: {error.ctx.command_path} --help", err=True)
    return 2


def _report(error: RingfenceError, *, as_json: bool) -> int:
    from ringfence.chain.show import render  # noqa: PLC0415 - only the failing path pays for it

    errors = getattr(error, "errors", None) or (error,)
    if as_json:
        body = [e.to_json() for e in errors]
        click.echo(json.dumps({"version": 1, "error": body[0], "errors": body}))
    for one in errors:
        click.echo(render(one), err=True)
    if isinstance(error, Refused):
        return 4
    return 2 if isinstance(error, InputError) else 1
