"""Where the replay servers live: one block of loopback addresses per replay that runs at a time.

Invariants:
1. Every address is in 127.0.0.0/8; nothing here can name a machine.
2. Two replays with different blocks never meet.
"""

from dataclasses import dataclass

HOSTS = {"forge.test": 11, "cloud.test": 13, "evil.test": 66}


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The addresses and ports of one replay; ``block`` is the third number of the addresses."""

    block: int = 0
    https: int = 8443
    http: int = 8080
    smtp: int = 2525
    raw: int = 9999
    dns: int = 5353

    def of(self, host: str) -> str:
        """Give the address of a host by its name. Raises KeyError for an unknown name."""
        return f"127.{self.block}.0.{HOSTS[host]}"

    def names(self) -> dict[str, str]:
        """Give name to address, as the resolver of the product is told."""
        return {host: self.of(host) for host in HOSTS}

    def moved(self, by: int) -> "Addresses":
        """Give the same block with every port moved up."""
        return Addresses(
            block=self.block,
            https=self.https + by,
            http=self.http + by,
            smtp=self.smtp + by,
            raw=self.raw + by,
            dns=self.dns + by,
        )

    def url(self, host: str, path: str) -> str:
        """Give the https address of a path on a host."""
        return f"https://{host}:{self.https}{path}"
