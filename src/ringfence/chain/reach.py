"""What an agent may reach and is handed: network rules, secrets, plain variables.

Invariants:
1. Every way to write a rule is held to the same grammar, and faults stand at the word they mean.
2. Every secret is bound to an exact host that a rule of the same agent allows over TLS.
3. No variable the box owns can be set, by ``env`` or by a secret, and none is set twice.
"""

from collections.abc import Mapping

from ringfence.chain import grammar
from ringfence.chain.node import Leaf, Node, Table, quoted
from ringfence.chain.variables import Expander
from ringfence.chain.walk import Faults
from ringfence.chain.words import Action, Delivery, NetworkRule, SecretUse

_PORTS = {"https": 443, "http": 80}


def build_rule(node: Node, faults: Faults) -> NetworkRule:
    """Build one network rule from its mapping or its short form."""
    if isinstance(node, Leaf):
        return _short_rule(node, str(node.value), faults)
    table = node if isinstance(node, Table) else Table(entries={}, start=0, end=0)
    scheme = table.text("scheme", "https")
    rule = NetworkRule(
        host=table.text("host"),
        port=table.whole("port") or _PORTS[scheme],
        scheme=scheme,
        methods=table.texts("methods"),
        paths=table.texts("paths"),
        max_body_bytes=table.whole("maxBodyBytes"),
        graphql_operations=table.texts("graphqlOperations"),
        allow_private=table.texts("allowPrivate"),
        action=Action(table.text("action", Action.ALLOW)),
        where=faults.where(node),
    )
    faults.judge(grammar.host_fault(rule.host), "bad-host", table.get("host"))
    for leaf in table.leaves("paths"):
        faults.judge(grammar.path_fault(str(leaf.value)), "bad-path", leaf)
    for leaf in table.leaves("allowPrivate"):
        faults.judge(grammar.private_fault(str(leaf.value)), "bad-address", leaf)
    return rule


def _short_rule(leaf: Leaf, text: str, faults: Faults) -> NetworkRule:
    where = faults.where(leaf)
    found = grammar.URL.fullmatch(text)
    if found is None:
        hint = "write https://host:port/path, or a host alone" if ":" in text or "/" in text else ""
        faults.judge(grammar.host_fault(text), "bad-host", leaf, hint=hint)
        return NetworkRule(host=text, where=where)
    scheme, host, port, path = found.groups()
    number = int(port) if port else _PORTS[scheme]
    if host.startswith("["):
        host = host[1:-1]
        if ":" not in host:
            faults.judge("only IPv6 addresses stand in brackets", "bad-host", leaf)
    faults.judge(grammar.host_fault(host), "bad-host", leaf)
    if not 1 <= number <= 65_535 or (port or "").startswith("0"):
        faults.judge("a port is from 1 to 65535", "out-of-range", leaf)
    if path is not None:
        faults.judge(grammar.path_fault(path), "bad-path", leaf)
    return NetworkRule(
        host=host,
        port=number,
        scheme=scheme,
        paths=() if path is None else (path,),
        where=where,
    )


def build_secrets(
    table: Table, network: tuple[NetworkRule, ...], env: Mapping[str, str], faults: Faults
) -> tuple[SecretUse, ...]:
    """Build the secrets of an agent; ``network`` and ``env`` are the agent's own."""
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
            where=faults.where(node),
        )
        uses.append(use)
        shows = node.get("env") or node.get("name") or node
        _reserved(use.env, shows, faults)
        if use.env in env or shown.get(use.env, name) != name:
            faults.add("env-twice", f"the variable {quoted(use.env)} is set twice", shows)
        shown[use.env] = name
        fault = grammar.host_fault(host, wildcard=False)
        if fault:
            faults.judge(fault, "bad-host", node.get("host"))
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


def build_env(table: Table, expander: Expander, faults: Faults) -> dict[str, str]:
    """Build the plain variables of an agent, with the chain's variables replaced."""
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
