"""Runs as a person sees them: what was started, by whom, and how it stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ringfence.chain.words import Json


class RunStatus(StrEnum):
    """Where a run stands. `waiting` means nothing can go on before a person answers."""

    CREATED = "created"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Say whether nothing more will happen in the run."""
        return self in {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run. ``file`` is where the chain was read; relative workspaces start at its folder."""

    id: str
    chain: str
    digest: str
    file: str
    starter: str
    status: RunStatus
    created: datetime
    finished: datetime | None = None
    reason: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Give the run as every ``--json`` command prints it."""
        return {
            "run": self.id,
            "chain": self.chain,
            "digest": self.digest,
            "file": self.file,
            "starter": self.starter,
            "status": self.status.value,
            "created": self.created.isoformat(),
            "finished": self.finished.isoformat() if self.finished else None,
            "reason": self.reason,
        }


EXIT_CODES = {
    RunStatus.SUCCEEDED: 0,
    RunStatus.FAILED: 1,
    RunStatus.CANCELLED: 1,
    RunStatus.WAITING: 5,
}


def exit_code(status: RunStatus, *, open_reviews: int, refused: bool) -> int:
    """Give the exit code of ``ringfence run`` (house table): 4 when policy refused the start."""
    if refused:
        return 4
    if status is RunStatus.SUCCEEDED and open_reviews:
        return 5
    return EXIT_CODES.get(status, 1)
