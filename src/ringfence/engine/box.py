"""The port of a box: what the engine side needs from any sandbox backend, and no more.

The backends live in ``sandbox``; the agents that are driven through a box live in ``agents``;
they meet only here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ringfence.engine.plan import RunPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxExit:
    """How a box ended: exit code (128+n for signal n) and, when we ended it, why."""

    code: int
    ended_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """File descriptors the agent's standard streams are connected to; the caller owns them."""

    stdin: int
    stdout: int
    stderr: int


class Box(Protocol):
    """A running box. ``listener`` is the box's broker socket, already listening, as an fd."""

    listener: int
    mark: str

    def wait(self, seconds: float | None = None) -> BoxExit | None:
        """Wait for the end; None when it has not ended after ``seconds``."""

    def kill(self, why: str) -> None:
        """End every process of the box within 2 s; harmless when it has already ended."""

    def close(self) -> None:
        """Release what the host holds for it (namespaces, cgroup, sockets)."""


class BoxBackend(Protocol):
    """One way to hold a box."""

    def start(self, plan: RunPlan, stdio: Stdio, placeholders: Mapping[str, str]) -> Box:
        """Start the plan's command.

        ``placeholders`` maps the name of a secret's variable to what the box may see in it.

        Raises Refused when this host cannot give what the plan demands (R5), Unavailable when
        starting failed for a reason that may pass.
        """

    def reap(self, mark: str) -> int:
        """End what is left of a box known only by its mark; give the number of processes ended."""
