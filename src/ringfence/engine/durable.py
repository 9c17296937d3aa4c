"""The ports of durable execution: what a run needs so that a crash loses nothing.

Invariants every implementation keeps (the contract suite checks them on all):
1. A step whose result was journalled is never run again; an interrupted one runs again.
2. A workflow function must be deterministic: everything it learns comes from its context.
3. Only JSON crosses, at most `MAX_PAYLOAD` bytes of it, and the journal is untrusted input:
   what was not written by this installation is refused.
4. A signal with a key that was seen before is ignored; signals of one sender keep their order.

It knows no chain, no agent and no database.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from ringfence.chain.words import Json

MAX_PAYLOAD = 1_048_576  # bytes of canonical JSON: a frozen chain fits, an agent's output does not
PROTOCOL = "1"  # the engine protocol: changes only when old journals cannot be replayed any more


class WorkflowStatus(StrEnum):
    """How far a workflow is."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowState:
    """What is known of one workflow. ``result`` is None until it succeeded."""

    id: str
    workflow: str
    status: WorkflowStatus
    result: "Json" = None
    error: str = ""


class StepError(Exception):
    """A journalled step raised; ``kind`` names the exception, on the first run and on replay."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class WorkflowContext(Protocol):
    """What a workflow function may use; every call is journalled, in order."""

    @property
    def id(self) -> str:
        """The workflow's own id."""

    @property
    def resumed(self) -> bool:
        """Say whether the workflow may have run before, in a process that has ended since."""

    def step(self, name: str, fn: "Callable[..., Json]", *args: "Json") -> "Json":
        """Run ``fn`` once and keep its result. Raises StepError when it raised."""

    def spawn(self, workflow: str, id: str, payload: "Json") -> None:  # noqa: A002 - the word of this port
        """Start another workflow; harmless when it was already started."""

    def signal(self, id: str, message: "Json", key: str) -> None:  # noqa: A002 - the word of this port
        """Send a message to another workflow, once per key."""

    def wait_signal(self, until: float | None = None) -> "Json":
        """Wait for the next message to this workflow; None when ``until`` (epoch) passed."""

    def now(self) -> float:
        """Give the time (seconds since the epoch), the same again on replay."""

    def sleep(self, seconds: float) -> None:
        """Wait; after a crash only for what is left."""


Workflow: TypeAlias = "Callable[[WorkflowContext, Json], Json]"


class DurableEngine(Protocol):
    """Runs workflows so that they outlive the process."""

    def register(self, workflow: str, fn: Workflow) -> None:
        """Name a workflow function. Only before `launch`."""

    def launch(self) -> None:
        """Begin; workflows of this executor that a crash interrupted go on by themselves.

        Raises Refused when the journal holds anything this installation did not write.
        """

    def start(self, workflow: str, id: str, payload: "Json") -> None:  # noqa: A002 - the word of this port
        """Start a workflow; harmless when that id was already started.

        Raises InputError for a payload over `MAX_PAYLOAD` or a workflow that is not registered.
        """

    def signal(self, id: str, message: "Json", key: str) -> bool:  # noqa: A002 - the word of this port
        """Send a message, once per key; False when there is no such workflow.

        Raises InputError for null, which means "no message", and for one over `MAX_PAYLOAD`.
        """

    def status(self, id: str) -> WorkflowState | None:  # noqa: A002 - the word of this port
        """Give the state of a workflow, None when there is none of that id."""

    def wait(self, id: str, seconds: float | None = None) -> WorkflowState | None:  # noqa: A002 - the word of this port
        """Wait until a workflow has ended; None when it has not after ``seconds``."""

    def cancel(self, id: str) -> None:  # noqa: A002 - the word of this port
        """End a workflow at its next call; harmless when it has ended."""

    def list_workflows(self) -> list[WorkflowState]:
        """Give all workflows of the journal, oldest first, without results."""

    def recover(self, executors: Sequence[str]) -> list[str]:
        """Take over what dead executors left unfinished; give the ids taken over."""

    def close(self) -> None:
        """Stop working; nothing of the journal is lost. Harmless when repeated."""
