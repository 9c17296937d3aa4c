"""The words of a chain file as immutable records: what every other room talks about.

Invariants:
1. Records are frozen and carry nothing from outside that ``parse`` did not validate.
2. Every record that a person wrote keeps the `Position` where it was written.
3. Absent means the tightest: no network, no secret, no merge without a person.

Reading files is `ringfence.chain.parse`; deciding what is granted is ``policy``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from ringfence.chain.errors import Position

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

CHAIN_START = "chain:start"
CHAIN_COMPLETE = "chain:complete"


class AgentType(StrEnum):
    """How an agent is driven."""

    CLI = "cli"
    SCRIPT = "script"
    LLM = "llm"
    GATE = "gate"
    REVIEW = "review"


class Action(StrEnum):
    """What a network rule does with a request it matches."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"


class Merge(StrEnum):
    """What happens to the changes an agent made in its workspace."""

    HOLD = "hold"
    AUTO = "auto"
    DISCARD = "discard"


class Access(StrEnum):
    """What an agent may do in its workspace."""

    NONE = "none"
    READ = "read"
    WRITE = "write"


class Label(StrEnum):
    """What is known about data (`untrusted`, `sensitive`) or about an act (`outward`)."""

    UNTRUSTED = "untrusted"
    SENSITIVE = "sensitive"
    OUTWARD = "outward"


class Delivery(StrEnum):
    """How a secret reaches the agent; the second is a named, degraded mode (R2)."""

    PLACEHOLDER = "placeholder"
    UNSAFE_ENV = "unsafe-env"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRule:
    """One egress rule. `*` in host only as a whole left label; empty methods/paths mean any."""

    host: str
    port: int = 443
    scheme: str = "https"
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    max_body_bytes: int | None = None
    graphql_operations: tuple[str, ...] = ()
    allow_private: tuple[str, ...] = ()
    action: Action = Action.ALLOW
    where: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUse:
    """One secret an agent may have swapped: by name, at one host, in one slot.

    ``slot`` is ``header:<lower-case name>``. ``env`` is the variable that shows the placeholder.
    """

    name: str
    host: str
    slot: str = "header:authorization"
    env: str
    delivery: Delivery = Delivery.PLACEHOLDER
    where: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when a retryable failure is tried again (delays in milliseconds)."""

    max_attempts: int = 1
    backoff: str = "exponential"
    initial_delay_ms: int = 1_000
    max_delay_ms: int = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one agent's box. None means the room's default, never "no limit"."""

    memory_mb: int | None = None
    processes: int | None = None
    cpu_seconds: int | None = None
    output_bytes: int | None = None
    file_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The directory an agent works in, seen copy-on-write. ``directory`` as written in the file."""

    type: str = "local"
    directory: str
    access: Access = Access.WRITE
    where: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One member of a chain, as asked for; what it gets is its Grant."""

    name: str
    type: AgentType
    prompt: str = ""
    triggers: tuple[str, ...]
    emits: tuple[str, ...]
    client: str | None = None
    run: tuple[str, ...] = ()
    model: str | None = None
    input: tuple[str, ...] = ()
    output: str | None = None
    workspace: Workspace | None = None
    merge: Merge = Merge.HOLD
    network: tuple[NetworkRule, ...] = ()
    secrets: tuple[SecretUse, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    reads: frozenset[Label] = frozenset()
    writes: frozenset[Label] = frozenset()
    checks: tuple[str, ...] = ()
    output_schema: Mapping[str, Json] | None = None
    retry: Retry = Retry()
    on_error: str | None = None
    timeout_seconds: int = 3_600
    limits: Limits = Limits()
    isolation: str = "L3"
    review: str = "on-failure"
    where: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLimits:
    """Bounds of one run of the whole chain."""

    time_seconds: int = 24 * 3_600
    concurrency: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A validated chain. ``digest`` is the SHA-256 (hex) of the exact bytes it was read from."""

    name: str
    agents: tuple[Agent, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    limits: ChainLimits = ChainLimits()
    schedule: str | None = None
    trigger: Mapping[str, Json] | None = None
    rbac: Mapping[str, Json] | None = None
    labels: Mapping[str, frozenset[Label]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    version: str | None = None
    description: str = ""
    digest: str
    file: str

    def agent(self, name: str) -> Agent:
        """Give the agent of that name. Raises KeyError for a name the chain does not have."""
        for agent in self.agents:
            if agent.name == name:
                return agent
        raise KeyError(name)
