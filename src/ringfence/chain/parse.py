"""Bytes of a chain file to a `Chain`, or everything that is wrong with them.

Invariants:
1. Whatever the bytes are, the outcome is a `Chain` or `ChainRejected`; every fault of a file has
   a position inside the file.
2. Unknown, refused and badly placed fields are faults; nothing is skipped but ``x-`` fields.
3. The order of checks is: document, fields, agents, graph. Each needs the one before, so a fault
   never hides behind an invented one.

What an agent gets of what it asks for is ``policy``; that a secret stands in the text is
``checks``.
"""

import hashlib
from collections.abc import Mapping

from ringfence.chain.build import build_agent, duration, span_of
from ringfence.chain.document import Document, read
from ringfence.chain.errors import InputError
from ringfence.chain.fields import CHAIN
from ringfence.chain.flow import check_graph
from ringfence.chain.node import Table
from ringfence.chain.variables import Expander, effective
from ringfence.chain.walk import Faults, check
from ringfence.chain.words import Chain, ChainLimits


class ChainRejected(InputError):  # noqa: N818 - says what happened, as the other kinds do
    """A chain file that is not taken, with every error found; its own fields are the first's."""

    def __init__(self, errors: tuple[InputError, ...]) -> None:
        first = errors[0]
        super().__init__(first.code, first.message, hint=first.hint, where=first.where)
        self.errors = errors


def parse(data: bytes, *, file: str, variables: Mapping[str, str] | None = None) -> Chain:
    """Read a chain file; ``variables`` override values the chain declares.

    JSON up to 256 KiB, YAML up to 48 KiB. Raises ChainRejected; only the error for an override
    the chain does not declare has no position.
    """
    try:
        document = read(data, file=file)
    except InputError as error:
        raise ChainRejected((error,)) from None
    faults = Faults(document.source)
    root = document.root
    if not check(root, CHAIN, faults, name="the chain") or not isinstance(root, Table):
        raise ChainRejected(faults.errors)
    try:
        values = effective(_variables(root), variables or {})
    except InputError as error:
        raise ChainRejected((error,)) from None
    chain = _build(document, root, values, faults, hashlib.sha256(data).hexdigest())
    if not faults:
        check_graph(chain, root, faults)
    if faults:
        raise ChainRejected(faults.errors)
    return chain


def _build(
    document: Document, root: Table, values: Mapping[str, str], faults: Faults, digest: str
) -> Chain:
    expander = Expander(values, faults)
    tables = [node for node in root.items("agents") if isinstance(node, Table)]
    agents = tuple(build_agent(table, expander, faults) for table in tables)
    names: set[str] = set()
    for table, agent in zip(tables, agents, strict=True):
        if agent.name in names:
            faults.add_span(
                "duplicate-agent", f'two agents have the name "{agent.name}"', *span_of(table)
            )
        names.add(agent.name)
    return Chain(
        name=root.text("name"),
        agents=agents,
        variables=values,
        limits=_limits(root),
        schedule=root.text("schedule") or None,
        trigger=root.mapping("trigger"),
        rbac=root.mapping("rbac"),
        outputs=root.texts("outputs"),
        version=root.text("version") or None,
        description=root.text("description"),
        digest=digest,
        file=document.source.file,
    )


def _limits(root: Table) -> ChainLimits:
    table, default = root.table("limits"), ChainLimits()
    if table is None:
        return default
    return ChainLimits(
        time_seconds=duration(table, "time", default.time_seconds),
        concurrency=table.whole("concurrency") or default.concurrency,
    )


def _variables(root: Table) -> dict[str, str]:
    table = root.table("variables")
    return {} if table is None else {name: table.text(name) for name in table.entries}
