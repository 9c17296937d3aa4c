"""The port of the audit log: the one door through which records become durable."""

from collections.abc import Sequence
from typing import Protocol

from ringfence.audit.record import Record


class AuditLog(Protocol):
    """An append-only log. Implementations live in ``store``."""

    def append(self, records: Sequence[Record]) -> int:
        """Make the records durable, in order, and give the position of the last one (from 0).

        Returns only when they would survive a power cut (R8). Raises Unavailable otherwise, and
        then the caller must not perform the effect.
        """
