"""A grant: what one agent may do in one run. Compiled once, before anything starts.

Invariants:
1. A grant is never wider than what the chain asks for, nor than what the organisation allows.
2. It names secrets, never values, and ends at ``until``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ringfence.chain.words import Agent, Chain, Merge, NetworkRule, SecretUse, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The rights of one agent in one run."""

    run: str
    agent: str
    until: datetime
    emits: tuple[str, ...]
    network: tuple[NetworkRule, ...]
    secrets: tuple[SecretUse, ...]
    env: Mapping[str, str]
    workspace: Workspace | None
    merge: Merge
    isolation: str


def compile_grant(chain: Chain, agent: Agent, *, run: str, until: datetime) -> Grant:
    """Give the grant of one agent: exactly what its own section asks for, until ``until``."""
    if agent not in chain.agents:
        raise KeyError(agent.name)
    return Grant(
        run=run,
        agent=agent.name,
        until=until,
        emits=agent.emits,
        network=agent.network,
        secrets=agent.secrets,
        env=agent.env,
        workspace=agent.workspace,
        merge=agent.merge,
        isolation=agent.isolation,
    )
