"""``ringfence run``: run a chain to its end, or to the point where a person is needed."""

import json
import os
from pathlib import Path

import click

from ringfence.apps.launch import check_secrets, create_run, read_chain, starting
from ringfence.apps.settings import open_data_dir, person
from ringfence.chain.errors import InputError
from ringfence.chain.words import Json


def parse_variables(given: tuple[str, ...]) -> dict[str, str]:
    """Read ``NAME=VALUE`` pairs. Raises InputError for anything else."""
    variables: dict[str, str] = {}
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InputError("bad-variable", f"--var {pair!r} is not NAME=VALUE", hint="--var A=b")
        variables[name] = value
    return variables


def run_settings(
    *, client: str | None, resolver_map: str | None, extra_ca: str | None, wait: bool
) -> dict[str, Json]:
    """Read the operator's files once, so that a resume has the same settings."""
    search = os.environ.get("PATH", "/usr/bin:/bin")
    settings: dict[str, Json] = {"wait": wait, "search": search}
    if client:
        settings["client"] = client
    if resolver_map:
        try:
            names = json.loads(Path(resolver_map).read_text())
        except (OSError, ValueError) as error:
            raise InputError(
                "resolver-map-unreadable",
                f"cannot read {resolver_map}: {error}",
                hint='a JSON object such as {"forge.test": "127.0.0.11"}',
            ) from error
        if not isinstance(names, dict) or not all(isinstance(v, str) for v in names.values()):
            raise InputError("resolver-map-unreadable", f"{resolver_map} is not a map of names")
        settings["unsafe_resolver_map"] = names
    if extra_ca:
        try:
            settings["extra_ca"] = Path(extra_ca).read_text()
        except OSError as error:
            raise InputError(
                "extra-ca-unreadable", f"cannot read {extra_ca}: {error.strerror}"
            ) from error
    return settings


@click.command("run")
@click.argument("chain")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="set a variable")
@click.option("--client", help="the client that runs agents which only have a prompt")
@click.option("--wait", is_flag=True, help="stay and wait while a review is open")
@click.option("--extra-ca", metavar="PEM", help="also trust these roots for upstream TLS")
@click.option(
    "--unsafe-resolver-map", metavar="JSON", help="resolve these names to these addresses"
)
@click.option("--json", "as_json", is_flag=True, help="print the result as one JSON object")
@click.pass_obj
def command(
    data_dir: str | None, chain: str, variables: tuple[str, ...], *, client: str | None,
    extra_ca: str | None, unsafe_resolver_map: str | None, wait: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run CHAIN (JSON or YAML).

    Exit codes: 0 succeeded, 1 failed, 2 bad input, 4 refused, 5 waiting for a review.
    """
    data = open_data_dir(data_dir)
    with starting(data) as runner:
        # Loaded while the runner loads its own.
        from ringfence.apps.cli.progress import Printer, finish  # noqa: PLC0415 - see above
        from ringfence.apps.plans import Facts, check_agents  # noqa: PLC0415 - see above

        values = parse_variables(variables)
        loaded = read_chain(chain, values)
        settings = run_settings(
            client=client, resolver_map=unsafe_resolver_map, extra_ca=extra_ca, wait=wait
        )
        search = str(settings["search"]).split(":")
        facts = Facts(chain_file=Path(chain), search=tuple(search), client=client)
        check_agents(loaded.chain, facts)
        check_secrets(data, loaded.chain)
        row = create_run(
            data, loaded, starter=person(), variables=values, settings=settings, file=chain
        )
        printer = Printer(agents=[a.name for a in loaded.chain.agents])
        printer.started(row)
        ended = runner.follow(row.id, on_line=printer.line)
        return finish(data, ended, printer, as_json=as_json)
