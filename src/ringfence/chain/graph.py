"""The graph that the events of a chain draw: its causes, rows and arrows.

An agent waits for all its triggers; an event is caused by an agent through ``emits`` or, when its
attempts are used up, ``on_error``. What a graph may be is ``flow``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from graphlib import TopologicalSorter

from ringfence.chain.words import CHAIN_COMPLETE, CHAIN_START, Agent, AgentType, Chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One arrow: ``source`` None is the start of the chain, ``target`` None its end."""

    source: str | None
    target: str | None
    event: str
    failure: bool = False


def edges(chain: Chain) -> tuple[Edge, ...]:
    """Give every arrow of the chain, by target in the order of the file, the end last."""
    sources = sources_of(chain)
    found = [
        Edge(source=None, target=agent.name, event=event)
        if event == CHAIN_START
        else Edge(source=cause.agent, target=agent.name, event=event, failure=cause.failure)
        for agent in chain.agents
        for event in agent.triggers
        for cause in ((_START,) if event == CHAIN_START else sources.get(event, ()))
    ]
    found += [
        Edge(source=cause.agent, target=None, event=CHAIN_COMPLETE)
        for cause in sources.get(CHAIN_COMPLETE, ())
    ]
    return tuple(found)


def layers(chain: Chain) -> tuple[tuple[str, ...], ...]:
    """Give the agents in rows: each row waits only for rows before it.

    Raises ValueError for a chain with a cycle, which `parse` never gives.
    """
    order = {agent.name: index for index, agent in enumerate(chain.agents)}
    sorter = TopologicalSorter(before(chain))
    sorter.prepare()
    rows = []
    while sorter.is_active():
        row = sorted(sorter.get_ready(), key=order.__getitem__)
        rows.append(tuple(row))
        sorter.done(*row)
    return tuple(rows)


class Outcome(IntEnum):
    """How an agent can end; also the bit of that end within the agent's three."""

    OK = 0
    NOT_PASSED = 1
    ERROR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One way an event comes about; ``verdict`` is a gate or a review that says: passed."""

    agent: str
    outcome: Outcome
    verdict: bool = False

    @property
    def failure(self) -> bool:
        """Say whether it takes a failure of the agent."""
        return self.outcome is Outcome.ERROR


_START = Cause(agent="", outcome=Outcome.OK)
JUDGES = {AgentType.GATE, AgentType.REVIEW}


def causes_of(agent: Agent) -> Iterator[tuple[str, Cause]]:
    """Give the events of one agent with how each comes about."""
    for index, event in enumerate(agent.emits):
        second = agent.type in JUDGES and index > 0
        outcome = Outcome.NOT_PASSED if second else Outcome.OK
        verdict = agent.type in JUDGES and index == 0
        yield event, Cause(agent=agent.name, outcome=outcome, verdict=verdict)
    if agent.on_error is not None and agent.on_error not in agent.emits:
        yield agent.on_error, Cause(agent=agent.name, outcome=Outcome.ERROR)


def sources_of(chain: Chain) -> dict[str, list[Cause]]:
    """Give every event of the chain with all its causes, but for ``chain:start``."""
    sources: dict[str, list[Cause]] = {}
    for agent in chain.agents:
        for event, cause in causes_of(agent):
            sources.setdefault(event, []).append(cause)
    return sources


def before(chain: Chain) -> dict[str, set[str]]:
    """Give for each agent those whose events it waits for."""
    sources = sources_of(chain)
    return {
        agent.name: {cause.agent for event in agent.triggers for cause in sources.get(event, ())}
        for agent in chain.agents
    }
