"""Plans from chains: what ``explain`` prints and the runner carries out, made by one function.

Invariants:
1. ``explain`` and a run compile the same plan from the same facts; only the paths of the step
   directory differ.
2. A command is resolved on the host once, by the search path of the person who started the run.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.agents.clients.table import CLIENTS, client_named
from ringfence.chain.errors import InputError, Refused
from ringfence.chain.words import Agent, AgentType, Chain
from ringfence.engine.plan import RunPlan
from ringfence.engine.planning import Command, Handoff, plan_step, prompt_text
from ringfence.policy.grant import Grant, compile_grant
from ringfence.sandbox.tools import command_mounts, system_mounts

if TYPE_CHECKING:
    from collections.abc import Mapping

VERDICT_FILE = "verdict.json"
LEVEL = "L3"
# Wherever a chain says an agent works, here it works in a box on a copy-on-write view.
HELD_TYPES = ("local", "docker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a plan needs to know beside the chain."""

    chain_file: Path
    search: tuple[str, ...]
    client: str | None


def needs_box(agent: Agent) -> bool:
    """Say whether a step of this agent starts a process."""
    if agent.type is AgentType.REVIEW:
        return False
    return agent.type is not AgentType.GATE or bool(agent.run or agent.client or agent.prompt)


def effective(agent: Agent) -> Agent:
    """Give the agent with what its type implies filled in: a gate's agent writes a verdict."""
    if agent.type is AgentType.GATE and needs_box(agent) and agent.output is None:
        return replace(agent, output=VERDICT_FILE)
    return agent


def check_agents(chain: Chain, facts: Facts) -> None:
    """Refuse a chain some agent of which cannot be run here, before anything starts.

    Raises InputError when nothing runs it, Refused when its box would be weaker than it asks.
    """
    for agent in chain.agents:
        if needs_box(agent):
            argv, _ = _argv(agent, facts)
            command_mounts(argv[0], search=facts.search)
            _check_level(agent)


def _check_level(agent: Agent) -> None:
    if agent.isolation > LEVEL:
        raise Refused(
            "isolation-level",
            f"agent {agent.name!r} asks for isolation {agent.isolation}, and this is {LEVEL}",
            hint=f"lower it to {LEVEL} if a box of namespaces is enough, or do not run it here",
            where=agent.where,
        )


def workspace_directory(agent: Agent, facts: Facts) -> str | None:
    """Give the host directory of the agent's workspace, checked to be one.

    Raises InputError when it is missing, a link or not a directory.
    """
    if agent.workspace is None:
        return None
    if agent.workspace.type not in HELD_TYPES:
        raise InputError(
            "workspace-type-unsupported",
            f"workspace type {agent.workspace.type!r} of agent {agent.name!r} is not supported",
            hint='use "local": it is copy-on-write in a box, the tree itself is not touched',
            where=agent.workspace.where,
        )
    path = facts.chain_file.parent / agent.workspace.directory
    if path.is_symlink() or not path.is_dir():
        raise InputError(
            "workspace-missing",
            f"the workspace {agent.workspace.directory!r} is not a directory",
            hint=f"make it: mkdir -p {path}",
            where=agent.workspace.where,
        )
    return str(path.resolve())


def _argv(agent: Agent, facts: Facts) -> tuple[tuple[str, ...], dict[str, str]]:
    if agent.run:
        return agent.run, {}
    if agent.type is AgentType.LLM:
        raise InputError(
            "llm-unsupported",
            f"agent {agent.name!r} calls a model API, which this version does not do",
            hint="use type cli with a client, or type script",
            where=agent.where,
        )
    client = agent.client or facts.client
    if client is None:
        raise InputError(
            "no-client",
            f"agent {agent.name!r} has a prompt but nothing that runs it",
            hint=f"add a client ({', '.join(sorted(CLIENTS))}) or run, or give --client",
            where=agent.where,
        )
    known = client_named(client, where=agent.where)
    return known.argv(prompt_text(agent).decode()), dict(known.env)


def build_plan(
    chain: Chain, agent: Agent, *, run: str, attempt: int, until: datetime,
    handoff: Handoff, facts: Facts,
) -> tuple[Grant, RunPlan]:  # fmt: skip
    """Compile grant and plan of one attempt. Raises InputError for what the host does not have."""
    _check_level(agent)
    grant = compile_grant(chain, chain.agent(agent.name), run=run, until=until)
    argv, env = _argv(agent, facts)
    directory = workspace_directory(agent, facts)
    resolved = command_mounts(argv[0], search=facts.search)
    command = Command(
        argv=(resolved.path_inside, *argv[1:]),
        mounts=resolved.mounts,
        terminal=agent.type is AgentType.CLI,
        env=env,
    )
    plan = plan_step(
        grant,
        agent,
        attempt=attempt,
        command=command,
        system=system_mounts(),
        handoff=handoff,
        workspace_directory=directory,
    )
    return grant, plan


def explained_handoff(agent: Agent, run_directory: str) -> Handoff:
    """Give the step paths ``explain`` shows: where they would lie."""
    step = f"{run_directory}/steps/{agent.name}-1"
    inputs: Mapping[str, str] = {name: f"{run_directory}/files/{name}" for name in agent.input}
    return Handoff(
        prompt=f"{step}/prompt.txt",
        ca=f"{step}/ca.pem",
        inputs=inputs,
        out=f"{step}/out",
        outbox=f"{step}/outbox",
        layer=f"{step}/layer",
    )
