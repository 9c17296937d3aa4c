"""A lease: one run's right to have one secret swapped in, at one host, in one slot, for a while.

Invariants:
1. A lease is bound to (run, secret version, host, slot); all of them must match, exactly.
2. It ends at ``until``; the moment itself is already outside.
3. It carries no value: whoever swaps gets that from the vault.

Who gets a lease is decided in ``policy``; revoking one is forgetting it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

SLOT_PREFIX: Final = "header:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to one swap place. ``host`` is lower-case without a final dot or a wildcard.

    Raises ValueError for a field that could match more than one place, or a time without a zone.
    """

    run: str
    agent: str
    secret: str
    version: int
    host: str
    slot: str
    placeholder: str
    until: datetime

    def __post_init__(self) -> None:
        if not (self.run and self.agent and self.secret and self.placeholder):
            raise ValueError("a lease names its run, agent, secret and placeholder")
        if self.version < 1:
            raise ValueError("a lease names a version from 1")
        if not self.host or self.host != self.host.lower() or self.host.endswith("."):
            raise ValueError("a lease names its host in lower case without a final dot")
        if "*" in self.host or any(c.isspace() for c in self.host):
            raise ValueError("a lease names one host")
        name = self.slot.removeprefix(SLOT_PREFIX)
        if name in ("", self.slot) or name != name.lower():
            raise ValueError("a lease names its slot as header:<lower-case name>")
        if self.until.tzinfo is None:
            raise ValueError("a lease ends at a time with a zone")

    def covers(self, host: str, slot: str, now: datetime) -> bool:
        """Say whether the secret may be swapped at this host and slot now."""
        return self.refusal(run=self.run, host=host, slot=slot, now=now) is None

    def refusal(self, *, run: str, host: str, slot: str, now: datetime) -> str | None:
        """Give the rule that forbids a swap here and now, or None when the lease covers it."""
        if run != self.run:
            return "lease-other-run"
        if host != self.host:
            return "lease-other-host"
        if slot != self.slot:
            return "lease-other-slot"
        if now.tzinfo is None or now >= self.until:
            return "lease-expired"
        return None
