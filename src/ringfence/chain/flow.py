"""What the events and files of a chain may be, seen as a graph.

Invariants:
1. Every trigger has a source, nothing waits for itself, and ``chain:complete`` can happen.
2. Events of the runtime (``chain:...``) come from the runtime, those of reviews from reviews.
3. One event has one source, unless at most one of several can ever cause it in one run. So does
   one file. What a gate or a review lets pass comes from gates and reviews alone.
4. A file an agent reads was written before, on every way that leads to the agent.

How 3 and 4 are known: every agent ends in exactly one of three outcomes (ok, not passed, error).
Walking the agents in order gives for each what certainly happened before it: over its triggers
the union, over the sources of one trigger the intersection. Two things exclude each other when
they need two different outcomes of one agent. Sets are bits of an integer, so the whole check is
linear in the events of the file.
"""

from graphlib import CycleError, TopologicalSorter

from ringfence.chain.build import agent_name
from ringfence.chain.graph import JUDGES, Cause, before, sources_of
from ringfence.chain.node import Node, Table, quoted
from ringfence.chain.shape import nearest
from ringfence.chain.walk import Faults
from ringfence.chain.words import CHAIN_COMPLETE, CHAIN_START, Agent, AgentType, Chain


def check_graph(chain: Chain, root: Table, faults: Faults) -> None:
    """Note what is wrong with the events and files of a chain whose agents are sound."""
    spots = _Spots(root)
    sources = sources_of(chain)
    for agent in chain.agents:
        _check_reserved(agent, spots, faults)
        _check_triggers(agent, sources, spots, faults)
    if CHAIN_COMPLETE not in sources:
        faults.add(
            "no-end",
            f"no agent emits {CHAIN_COMPLETE}, so the chain never ends",
            root.entries["agents"].key,
            hint=f"add {CHAIN_COMPLETE} to emits of the last agent",
        )
    if faults:
        return
    try:
        order = tuple(TopologicalSorter(before(chain)).static_order())
    except CycleError as error:
        cycle = [str(name) for name in error.args[1]]
        first = min(range(len(cycle) - 1), key=lambda i: spots.order[cycle[i]])
        turned = [*cycle[first:-1], *cycle[:first], cycle[first]]
        faults.add(
            "cycle",
            f"these agents wait for each other: {' -> '.join(turned)}",
            spots.of(turned[0], "triggers"),
            hint="an event cannot lead back to an agent before it; use retry for another attempt",
        )
        return
    _check_flow(chain, order, sources, spots, faults)


class _Spots:
    """Where in the file the parts of an agent stand."""

    def __init__(self, root: Table) -> None:
        tables = [node for node in root.items("agents") if isinstance(node, Table)]
        self._tables = {agent_name(table): table for table in tables}
        self.order = {name: index for index, name in enumerate(self._tables)}
        self.root = root

    def of(self, agent: str, field: str, value: str | None = None) -> Node:
        """Give the node of a value in a field, or of the whole field."""
        table = self._tables[agent]
        for leaf in table.leaves(field):
            if leaf.value == value:
                return leaf
        return table.get(field) or table


def _check_reserved(agent: Agent, spots: _Spots, faults: Faults) -> None:
    for event in agent.emits:
        runtime = event.startswith("chain:") and event != CHAIN_COMPLETE
        if runtime or (event.startswith("review:") and agent.type is not AgentType.REVIEW):
            faults.add(
                "reserved-event",
                f"an agent of type {agent.type.value} cannot emit {quoted(event)}",
                spots.of(agent.name, "emits", event),
                hint="chain: belongs to the runtime, review: to agents of type review",
            )
    error = agent.on_error
    if error is None:
        return
    good = agent.emits[:1] if agent.type in JUDGES else agent.emits
    if error.startswith(("chain:", "review:")) or error in good:
        faults.add(
            "reserved-event",
            f"a failure cannot cause {quoted(error)}, which says that something went well",
            spots.of(agent.name, "on_error", error),
            hint="give the failure an event of its own, such as notes:failed",
        )


def _check_triggers(
    agent: Agent, sources: dict[str, list[Cause]], spots: _Spots, faults: Faults
) -> None:
    for event in agent.triggers:
        if event == CHAIN_START or (event in sources and event != CHAIN_COMPLETE):
            continue
        at = spots.of(agent.name, "triggers", event)
        if event == CHAIN_COMPLETE:
            faults.add("never-starts", f"nothing runs after {CHAIN_COMPLETE}", at)
            continue
        close = nearest(event, tuple(sorted({CHAIN_START, *sources} - {CHAIN_COMPLETE})))
        faults.add(
            "unknown-trigger",
            f"no agent emits {quoted(event)}, so {quoted(agent.name)} never starts",
            at,
            hint=f'did you mean "{close}"?' if close else "add it to emits of another agent",
        )


def _excludes(one: int, other: int, ok: int) -> bool:
    """Say whether two sets of needed outcomes hold different outcomes of one agent."""
    second = ok << 1
    return any(
        ((a & ok) << 1) & b or ((a & ok) << 2) & b or ((a & second) << 1) & b
        for a, b in ((one, other), (other, one))
    )


def _check_flow(
    chain: Chain,
    order: tuple[str, ...],
    sources: dict[str, list[Cause]],
    spots: _Spots,
    faults: Faults,
) -> None:
    agents = {agent.name: agent for agent in chain.agents}
    files = {name: 1 << i for i, name in enumerate({a.output for a in chain.agents if a.output})}
    ok_bits = sum(1 << (3 * index) for index in range(len(agents)))
    needs: dict[str, int] = {}
    ready: dict[str, int] = {}

    def after(cause: Cause) -> tuple[int, int]:
        bit = 1 << (3 * spots.order[cause.agent] + cause.outcome)
        output = agents[cause.agent].output
        written = files[output] if output and not cause.failure else 0
        return needs[cause.agent] | bit, ready[cause.agent] | written

    for name in order:
        needs[name] = ready[name] = 0
        for event in agents[name].triggers:
            if event != CHAIN_START:
                pairs = [after(cause) for cause in sources[event]]
                need, have = pairs[0]
                for more_need, more_have in pairs[1:]:
                    need, have = need & more_need, have & more_have
                needs[name] |= need
                ready[name] |= have
    for agent in chain.agents:
        if _excludes(needs[agent.name], needs[agent.name], ok_bits):
            faults.add(
                "never-starts",
                f"{quoted(agent.name)} waits for events that exclude each other",
                spots.of(agent.name, "triggers"),
                hint="only one of passed, not passed and failed happens in a run",
            )
        _check_inputs(agent, files, ready[agent.name], spots, faults)
    wanted = {event: [after(c)[0] for c in causes] for event, causes in sources.items()}
    _check_single_events(sources, wanted, ok_bits, spots, faults)
    writers = {
        agent.name: needs[agent.name]
        | (0 if agent.type in JUDGES else 1 << (3 * spots.order[agent.name]))
        for agent in chain.agents
    }
    _check_single_files(chain, writers, ok_bits, spots, faults)


def _check_inputs(
    agent: Agent, files: dict[str, int], ready: int, spots: _Spots, faults: Faults
) -> None:
    for name in agent.input:
        at = spots.of(agent.name, "input", name)
        if name not in files:
            close = nearest(name, tuple(sorted(files)))
            faults.add(
                "unknown-input",
                f"no agent has the output {quoted(name)}",
                at,
                hint=f'did you mean "{close}"?' if close else "name it as output of an agent",
            )
        elif not files[name] & ready:
            faults.add(
                "input-not-ready",
                f"{quoted(name)} is not certainly written when {quoted(agent.name)} starts",
                at,
                hint="trigger the agent by an event of the agent that writes the file",
            )


def _check_single_events(
    sources: dict[str, list[Cause]],
    wanted: dict[str, list[int]],
    ok_bits: int,
    spots: _Spots,
    faults: Faults,
) -> None:
    for event, causes in sources.items():
        # The end may be reached on several ways: the run ends when nothing is left to do.
        if event == CHAIN_COMPLETE or len(causes) == 1:
            continue
        for second, cause in enumerate(causes):
            clash = next(
                (
                    causes[first].agent
                    for first in range(second)
                    if cause.verdict is not causes[first].verdict
                    or (
                        not (cause.failure and causes[first].failure)
                        and not _excludes(wanted[event][first], wanted[event][second], ok_bits)
                    )
                ),
                None,
            )
            if clash is not None:
                field = "on_error" if cause.failure else "emits"
                faults.add(
                    "two-sources",
                    f"{quoted(event)} comes from {quoted(clash)} as well",
                    spots.of(cause.agent, field, event),
                    hint="give each its own event; an agent may wait for several",
                )
                break


def _check_single_files(
    chain: Chain, writers: dict[str, int], ok_bits: int, spots: _Spots, faults: Faults
) -> None:
    seen: dict[str, list[str]] = {}
    for agent in chain.agents:
        if agent.output is None:
            continue
        others = seen.setdefault(agent.output, [])
        for other in others:
            if not _excludes(writers[other], writers[agent.name], ok_bits):
                faults.add(
                    "two-sources",
                    f"{quoted(agent.output)} is also the output of {quoted(other)}",
                    spots.of(agent.name, "output", agent.output),
                    hint="give each its own file",
                )
                break
        others.append(agent.name)
    for name in chain.outputs:
        if name not in seen:
            leaf = next(x for x in spots.root.leaves("outputs") if x.value == name)
            faults.add("unknown-output", f"no agent has the output {quoted(name)}", leaf)
