"""Turn one checked agent into its record, and note what no single field could show.

Invariants:
1. Only trees that passed ``walk.check`` come in; what is looked at here is how fields of one
   agent fit together.
2. A field that means nothing for the agent's type is a fault, never ignored.
3. Nothing names a place outside the chain's own folder.

What the agent reaches is ``reach``.
"""

from ringfence.chain.node import Leaf, Table, quoted
from ringfence.chain.reach import build_env, build_rule, build_secrets
from ringfence.chain.shape import seconds
from ringfence.chain.variables import Expander
from ringfence.chain.walk import Faults
from ringfence.chain.words import (
    Access,
    Agent,
    AgentType,
    Limits,
    Merge,
    Retry,
    Workspace,
)

# Fields that mean nothing for an agent of that type; given there, they are a mistake.
_NOT_FOR: dict[AgentType, tuple[str, ...]] = {
    AgentType.SCRIPT: ("client", "model", "review"),
    AgentType.CLI: ("review",),
    AgentType.LLM: ("run", "client", "review"),
    AgentType.GATE: (),
    AgentType.REVIEW: (
        "run", "client", "model", "workspace", "merge", "network", "secrets", "env", "checks",
        "outputSchema", "output", "retry", "limits", "isolation", "review",
    ),
}  # fmt: skip


OPPOSITES = {
    "accepted": ("declined", "rejected"),
    "allowed": ("denied", "rejected"),
    "approved": ("declined", "denied", "rejected"),
    "ok": ("failed", "rejected"),
    "passed": ("failed", "rejected"),
}


def build_agent(table: Table, expander: Expander, faults: Faults) -> Agent:
    """Build the record of one agent from its checked mapping; faults are noted, not raised."""
    kind = _kind(table)
    retry, limits = _retry(table), _limits(table)
    network = tuple(build_rule(node, faults) for node in table.items("network"))
    env = build_env(table, expander, faults)
    secrets = build_secrets(table, network, env, faults)
    prompt = table.get("prompt")
    agent = Agent(
        name=agent_name(table),
        type=kind,
        prompt=expander.text(prompt) if isinstance(prompt, Leaf) else "",
        triggers=table.texts("triggers"),
        emits=table.texts("emits"),
        client=table.text("client") or None,
        run=tuple(
            expander.argument(leaf, program=index == 0)
            for index, leaf in enumerate(table.leaves("run"))
        ),
        model=table.text("model") or None,
        input=table.texts("input"),
        output=table.text("output") or None,
        workspace=_workspace(table, faults),
        merge=Merge(table.text("merge", Merge.HOLD)),
        network=network,
        secrets=secrets,
        env=env,
        checks=table.texts("checks"),
        output_schema=table.mapping("outputSchema"),
        retry=retry,
        on_error=table.text("on_error") or None,
        timeout_seconds=duration(table, "timeout", 3_600),
        limits=limits,
        isolation=table.text("isolation", "L3"),
        review=table.text("review", "on-failure"),
        where=faults.source.position(*span_of(table)),
    )
    _check_kind(table, agent, faults)
    return agent


def agent_name(table: Table) -> str:
    """Give the name under either of its two keys."""
    return table.text("name") or table.text("agent")


def span_of(table: Table) -> tuple[int, int]:
    """Give the span that stands for an agent: its name."""
    node = table.get("name") or table.get("agent") or table
    return node.start, node.end


def _kind(table: Table) -> AgentType:
    if given := table.text("type"):
        return AgentType(given)
    if "run" in table.entries:
        return AgentType.SCRIPT
    return AgentType.GATE if _opposites(table.texts("emits")) else AgentType.CLI


def _opposites(emits: tuple[str, ...]) -> bool:
    """Say whether two events are the two answers of one question, the good one first.

    Chains written for Mentiko have gates without a type. As a plain agent such a one would emit
    both answers when it ends, and what waits for the good one would start (ADR 0090).
    """
    if len(emits) != 2:
        return False
    (good_noun, _, good), (bad_noun, _, bad) = (event.partition(":") for event in emits)
    return good_noun == bad_noun and bad in OPPOSITES.get(good, ())


def _check_kind(table: Table, agent: Agent, faults: Faults) -> None:
    start, end = span_of(table)
    for name in _NOT_FOR[agent.type]:
        if name in table.entries:
            faults.add(
                "wrong-for-type",
                f"{quoted(name)} means nothing for an agent of type {agent.type.value}",
                table.entries[name].key,
                hint="remove it, or change the type",
            )
    if agent.type in {AgentType.CLI, AgentType.GATE} and agent.run and agent.client:
        faults.add(
            "two-programs",
            "an agent has either a client or a command",
            table.entries["client"].key,
            hint="remove client, or remove run",
        )
    needs = {
        AgentType.SCRIPT: ("run", bool(agent.run)),
        AgentType.CLI: ("prompt", bool(agent.prompt or agent.run)),
        AgentType.LLM: ("model", bool(agent.model)),
        # Without a program a gate runs deterministic checks, for which nothing is needed.
        AgentType.GATE: ("prompt", bool(agent.prompt or agent.run or not agent.client)),
        AgentType.REVIEW: ("prompt", bool(agent.prompt)),
    }
    name, present = needs[agent.type]
    if not present:
        faults.add_span(
            "missing-field",
            f"an agent of type {agent.type.value} needs {quoted(name)}",
            start,
            end,
        )
    judges = agent.type in {AgentType.GATE, AgentType.REVIEW}
    if judges and not 1 <= len(agent.emits) <= 2:
        faults.add_span(
            "wrong-length",
            f"a {agent.type.value} emits one or two events, not {len(agent.emits)}",
            start,
            end,
            hint="the first says passed, the second failed: [notes:approved, notes:rejected]",
        )


def _workspace(table: Table, faults: Faults) -> Workspace | None:
    node = table.table("workspace")
    if node is None:
        return None
    directory = node.text("directory")
    segments = directory.split("/")
    if directory.startswith(("/", "~")) or ".." in segments or "\\" in directory or not directory:
        faults.judge(
            "the folder has to be inside the chain file's own folder",
            "bad-directory",
            node.get("directory"),
            hint='a relative path without ".."; move the chain file above the folder',
        )
    elif any(character < " " for character in directory):
        faults.judge("a folder is one line", "bad-directory", node.get("directory"))
    return Workspace(
        type=node.text("type", "local"),
        directory=directory,
        access=Access(node.text("access", Access.WRITE)),
        where=faults.where(node),
    )


def _retry(table: Table) -> Retry:
    node = table.table("retry")
    if node is None:
        return Retry()
    return Retry(
        max_attempts=_number(node, "max_attempts", 1),
        backoff=node.text("backoff", "exponential"),
        initial_delay_ms=_number(node, "initial_delay_ms", 1_000),
        max_delay_ms=_number(node, "max_delay_ms", 30_000),
    )


def _limits(table: Table) -> Limits:
    node = table.table("limits")
    if node is None:
        return Limits()
    return Limits(
        memory_mb=node.whole("memoryMb"),
        processes=node.whole("processes"),
        cpu_seconds=node.whole("cpuSeconds"),
        output_bytes=node.whole("outputBytes"),
        file_bytes=node.whole("fileBytes"),
    )


def _number(table: Table, name: str, default: int) -> int:
    value = table.whole(name)
    return default if value is None else value


def duration(table: Table, name: str, default: int) -> int:
    """Give a checked duration in seconds."""
    node = table.get(name)
    if isinstance(node, Leaf) and isinstance(node.value, int | str):
        return seconds(node.value)
    return default
