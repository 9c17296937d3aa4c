"""Turn one checked agent into its record, and note what no single field could show.

Invariants:
1. Only trees that passed ``shape.check`` come in; what is looked at here is how fields of one
   agent fit together.
2. Every secret is bound to an exact host that a rule of the same agent allows over TLS.
3. No variable the box owns can be set, by ``env`` or by a secret.
4. Nothing names a place outside the chain's own folder.
"""

from collections.abc import Mapping

from ringfence.chain import grammar
from ringfence.chain.errors import Position
from ringfence.chain.node import Leaf, Node, Table, quoted
from ringfence.chain.shape import Faults, seconds
from ringfence.chain.variables import Expander
from ringfence.chain.words import (
    Access,
    Action,
    Agent,
    AgentType,
    Delivery,
    Limits,
    Merge,
    NetworkRule,
    Retry,
    SecretUse,
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


def build_agent(table: Table, expander: Expander, faults: Faults) -> Agent:
    """Build the record of one agent from its checked mapping; faults are noted, not raised."""
    kind = _kind(table)
    retry, limits = _retry(table), _limits(table)
    network = tuple(_rule(node, faults) for node in table.items("network"))
    env = _env(table, expander, faults)
    secrets = _secrets(table, network, env, faults)
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
    return AgentType.SCRIPT if "run" in table.entries else AgentType.CLI


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
        AgentType.GATE: ("prompt", bool(agent.prompt or agent.run)),
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


def _rule(node: Node, faults: Faults) -> NetworkRule:
    if isinstance(node, Leaf):
        return _short_rule(node, str(node.value), faults)
    table = node if isinstance(node, Table) else Table(entries={}, start=0, end=0)
    scheme = table.text("scheme", "https")
    rule = NetworkRule(
        host=table.text("host"),
        port=_number(table, "port", 80 if scheme == "http" else 443),
        scheme=scheme,
        methods=table.texts("methods"),
        paths=table.texts("paths"),
        max_body_bytes=table.whole("maxBodyBytes"),
        graphql_operations=table.texts("graphqlOperations"),
        allow_private=table.texts("allowPrivate"),
        action=Action(table.text("action", Action.ALLOW)),
        where=_first_line(node, faults),
    )
    _note(grammar.host_fault(rule.host), "bad-host", table.get("host"), faults)
    for leaf in table.leaves("paths"):
        _note(grammar.path_fault(str(leaf.value)), "bad-path", leaf, faults)
    for leaf in table.leaves("allowPrivate"):
        _note(grammar.private_fault(str(leaf.value)), "bad-address", leaf, faults)
    return rule


def _short_rule(leaf: Leaf, text: str, faults: Faults) -> NetworkRule:
    where = _first_line(leaf, faults)
    found = grammar.URL.fullmatch(text)
    if found is None:
        hint = "write https://host:port/path, or a host alone" if ":" in text or "/" in text else ""
        _note(grammar.host_fault(text), "bad-host", leaf, faults, hint=hint)
        return NetworkRule(host=text, where=where)
    scheme, host, port, path = found.groups()
    number = int(port) if port else (80 if scheme == "http" else 443)
    host = host[1:-1] if host.startswith("[") else host
    _note(grammar.host_fault(host), "bad-host", leaf, faults)
    if not 1 <= number <= 65_535 or (port or "").startswith("0"):
        _note("a port is from 1 to 65535", "out-of-range", leaf, faults)
    if path is not None:
        _note(grammar.path_fault(path), "bad-path", leaf, faults)
    return NetworkRule(
        host=host,
        port=number,
        scheme=scheme,
        paths=() if path is None else (path,),
        where=where,
    )


def _secrets(
    table: Table, network: tuple[NetworkRule, ...], env: Mapping[str, str], faults: Faults
) -> tuple[SecretUse, ...]:
    uses: list[SecretUse] = []
    shown: dict[str, str] = {}
    for node in table.items("secrets"):
        if not isinstance(node, Table):
            continue
        name, host = node.text("name"), node.text("host")
        use = SecretUse(
            name=name,
            host=host,
            slot=node.text("slot", "header:authorization"),
            env=node.text("env", name.upper().replace("-", "_")),
            delivery=Delivery(node.text("delivery", Delivery.PLACEHOLDER)),
            where=_first_line(node, faults),
        )
        uses.append(use)
        shows = node.get("env") or node.get("name") or node
        _reserved(use.env, shows, faults)
        if use.env in env or shown.get(use.env, name) != name:
            faults.add("env-twice", f"the variable {quoted(use.env)} is set twice", shows)
        shown[use.env] = name
        fault = grammar.host_fault(host, wildcard=False)
        if fault:
            _note(fault, "bad-host", node.get("host"), faults)
        else:
            _covered(use, network, node.get("host") or node, faults)
    return tuple(uses)


def _covered(use: SecretUse, network: tuple[NetworkRule, ...], at: Node, faults: Faults) -> None:
    rules = [
        rule
        for rule in network
        if rule.action is not Action.DENY and grammar.covers(rule.host, use.host)
    ]
    if not rules:
        faults.add(
            "secret-without-route",
            f"no network rule of this agent allows {quoted(use.host)}, where "
            f"{quoted(use.name)} is bound",
            at,
            hint=f"add {use.host} to network, or remove the secret",
        )
    elif not any(rule.scheme == "https" for rule in rules):
        faults.add(
            "secret-in-clear",
            f"{quoted(use.name)} would travel to {quoted(use.host)} without TLS",
            at,
            hint="allow the host over https",
        )


def _env(table: Table, expander: Expander, faults: Faults) -> dict[str, str]:
    node = table.table("env")
    if node is None:
        return {}
    values = {}
    for entry in node.entries.values():
        _reserved(entry.name, entry.key, faults)
        if isinstance(entry.value, Leaf):
            values[entry.name] = expander.text(entry.value)
    return values


def _reserved(name: str, at: Node, faults: Faults) -> None:
    if grammar.reserved_env(name):
        faults.add(
            "reserved-env",
            f"the variable {quoted(name)} is set by the box or changes what programs load",
            at,
            hint="choose another name",
        )


def _workspace(table: Table, faults: Faults) -> Workspace | None:
    node = table.table("workspace")
    if node is None:
        return None
    directory = node.text("directory")
    segments = directory.split("/")
    if directory.startswith(("/", "~")) or ".." in segments or "\\" in directory or not directory:
        _note(
            "the folder has to be inside the chain file's own folder",
            "bad-directory",
            node.get("directory"),
            faults,
            hint='a relative path without ".."; move the chain file above the folder',
        )
    elif any(character < " " for character in directory):
        _note("a folder is one line", "bad-directory", node.get("directory"), faults)
    return Workspace(
        type=node.text("type", "local"),
        directory=directory,
        access=Access(node.text("access", Access.WRITE)),
        where=_first_line(node, faults),
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


def _first_line(node: Node, faults: Faults) -> Position:
    return faults.source.position(node.start, node.end)


def _note(fault: str, code: str, at: Node | None, faults: Faults, *, hint: str = "") -> None:
    if fault and at is not None:
        faults.add(code, fault, at, hint=hint)


def _number(table: Table, name: str, default: int) -> int:
    value = table.whole(name)
    return default if value is None else value


def duration(table: Table, name: str, default: int) -> int:
    """Give a checked duration in seconds."""
    node = table.get(name)
    if isinstance(node, Leaf) and isinstance(node.value, int | str):
        return seconds(node.value)
    return default
