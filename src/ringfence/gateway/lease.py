"""A lease as the broker holds it: which value stands behind which placeholder, and where.

Invariants:
1. The value is a `Secret`; it is opened where it is put on the wire, where it is masked in
   replies, and where it crosses the control socket, nowhere else.
2. A value that would change the head around it is refused when the lease is made.
"""

from dataclasses import dataclass
from datetime import datetime

from ringfence.gateway.head import is_field_value
from ringfence.policy.hosts import parse_host
from ringfence.vault.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLease:
    """The right to have one placeholder swapped for a secret at one host and slot."""

    name: str
    version: int
    host: str
    slot: str
    placeholder: str
    value: Secret
    until: datetime

    def __post_init__(self) -> None:
        if parse_host(self.host).name != self.host.removeprefix("[").removesuffix("]"):
            raise ValueError("a lease names its host in normal form")
        kind, _, header = self.slot.partition(":")
        if kind != "header" or not header or header != header.lower():
            raise ValueError("a lease names a slot as header:<lower-case name>")
        if len(self.placeholder) < 12 or not self.placeholder.isascii():
            raise ValueError("a placeholder has at least 12 ASCII characters")
        value = self.value.reveal()
        if not value or not is_field_value(value):
            raise ValueError("the secret cannot stand in a header")

    @property
    def header(self) -> str:
        """The lower-case name of the header of the slot."""
        return self.slot.partition(":")[2]
