"""``ringfence explain``: the full resolved plan of each step, before anything runs."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from ringfence.apps.cli.run_command import parse_variables
from ringfence.apps.launch import read_chain
from ringfence.apps.plans import Facts, build_plan, effective, explained_handoff, needs_box
from ringfence.apps.settings import open_data_dir
from ringfence.chain.show import plain
from ringfence.engine.plan import RunPlan


@click.command("explain")
@click.argument("chain")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="set a variable")
@click.option("--client", help="the client that runs agents which only have a prompt")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def command(
    data_dir: str | None, chain: str, variables: tuple[str, ...], client: str | None,
    *, as_json: bool,
) -> int:  # fmt: skip
    """Print what each agent of CHAIN would get: mounts, env names, routes, secrets, limits."""
    loaded = read_chain(chain, parse_variables(variables))
    data = open_data_dir(data_dir)
    facts = Facts(
        chain_file=Path(chain).resolve(),
        search=tuple(os.environ.get("PATH", "/usr/bin:/bin").split(":")),
        client=client,
    )
    plans: list[RunPlan] = []
    until = datetime.now(UTC) + timedelta(hours=1)
    for agent in loaded.chain.agents:
        agent = effective(agent)  # noqa: PLW2901 - the plan is about the effective agent
        if not needs_box(agent):
            if not as_json:
                click.echo(f"agent {agent.name}: {agent.type.value}, no box\n")
            continue
        handoff = explained_handoff(agent, str(data.root / "runs" / "RUN"))
        _, plan = build_plan(
            loaded.chain, agent, run="RUN", attempt=1, until=until, handoff=handoff, facts=facts
        )
        plans.append(plan)
        if not as_json:
            _print(plan)
    if as_json:
        body = [{**plan.to_json(), "digest": plan.digest} for plan in plans]
        click.echo(json.dumps({"version": 1, "chain": loaded.chain.name, "plans": body}))
    return 0


def _print(plan: RunPlan) -> None:
    _say(f"agent {plan.agent}: backend {plan.backend}, level {plan.level}")
    _say(f"  digest   {plan.digest}")
    _say(f"  command  {' '.join(plan.argv)}")
    terminal = " (terminal)" if plan.terminal else ""
    _say(f"  cwd      {plan.cwd}{terminal}")
    if plan.workspace is None:
        _say("  work     empty, thrown away")
    else:
        _say(f"  work     {plan.workspace.directory} ({plan.workspace.access}, copy-on-write)")
    for route in plan.routes:
        methods = ",".join(route.methods) or "any method"
        paths = ",".join(route.paths) or "any path"
        _say(
            f"  network  {route.action} {route.scheme}://{route.host}:{route.port}"
            f" {methods} {paths}  [{route.rule}]"
        )
    if not plan.routes:
        _say("  network  none")
    _say(f"  secrets  {', '.join(plan.secrets) or 'none'}")
    _say(f"  env      {' '.join(v.name for v in plan.env)}")
    limits = plan.limits
    _say(
        f"  limits   memory {limits.memory_bytes // 1024**2} MB, {limits.processes} processes,"
        f" {limits.cpu_seconds} s CPU, {limits.wall_seconds} s, output {limits.output_bytes} bytes"
    )
    for mount in plan.mounts:
        source = f" <- {mount.source}" if mount.source else ""
        _say(f"  mount    {mount.kind.value} {mount.target}{source}  [{mount.rule}]")
    _say("")


def _say(text: str) -> None:
    # Paths and arguments come from files that somebody else may have written.
    click.echo(plain(text))
