"""``ringfence demo``: watch a planted attack land without the guard, and land nowhere with it."""

import json
import tempfile
from pathlib import Path

import click

from ringfence.chain.errors import InputError


@click.command("demo")
@click.option("--attack", metavar="NAME", help="replay one recorded incident class, such as S13")
@click.option("--keep", metavar="DIR", help="keep everything the demo makes in this directory")
@click.option("--json", "as_json", is_flag=True)
def command(*, attack: str | None, keep: str | None, as_json: bool) -> int:
    """Run the example chain twice on loopback servers: guard off, then guard on."""
    from ringfence.apps.replay.addresses import reserved  # noqa: PLC0415 - same
    from ringfence.apps.replay.demo import demo  # noqa: PLC0415 - servers and puppet only here
    from ringfence.apps.replay.scenarios import SCENARIOS, run_scenario  # noqa: PLC0415 - same

    if attack is not None and attack.lower() not in SCENARIOS:
        raise InputError(
            "unknown-attack", f"no attack {attack!r}", hint=f"one of {', '.join(sorted(SCENARIOS))}"
        )
    directory = Path(keep) if keep else Path(tempfile.mkdtemp(prefix="ringfence-demo-"))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if attack is None:
        # With --json the one line is the result, and results go to standard output.
        return demo(lambda text: click.echo(text, err=not as_json), directory, json=as_json)
    with reserved() as addresses:
        result = run_scenario(attack.lower(), directory, addresses)
    if as_json:
        click.echo(json.dumps({"version": 1, **result.to_json()}))
    else:
        click.echo(result.table())
    return 0 if result.passed else 1
