"""A finding: what a check reports about a place in an output or a file.

Invariants:
1. A finding never carries the value it is about: message and detail name kind and place only.
2. ``check`` is the kebab-case id under which the rule has its page in ``docs/rules``.

What follows from a finding (strip, hold, fail the gate) is decided by whoever asked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ringfence.chain.errors import Position
from ringfence.chain.words import Json

_CHECK_ID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")


class Severity(StrEnum):
    """How bad it is if the finding is right."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Give 0 for low up to 3 for critical."""
        return list(Severity).index(self)

    def at_least(self, other: "Severity") -> bool:
        """Say whether this is as bad as ``other`` or worse."""
        return self.rank >= other.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a check saw. ``where`` is a place in a file or a byte offset in the data."""

    check: str
    severity: Severity
    message: str
    where: Position | int | None = None
    detail: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _CHECK_ID.match(self.check):
            raise ValueError(f"check id {self.check!r} is not kebab-case")

    def to_json(self) -> dict[str, Json]:
        """Give the three fields every record and report shows, and the place when there is one."""
        body: dict[str, Json] = {
            "check": self.check,
            "severity": self.severity.value,
            "message": self.message,
        }
        if self.where is not None:
            body["where"] = self.where if isinstance(self.where, int) else str(self.where)
        return body
