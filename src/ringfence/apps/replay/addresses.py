"""Where the replay servers live: one block of loopback addresses per replay that runs at a time.

Invariants:
1. Every address is in 127.0.0.0/8; nothing here can name a machine.
2. Two replays with different blocks never meet.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ringfence.chain.errors import Unavailable

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


@contextmanager
def reserved() -> Iterator[Addresses]:
    """Hold addresses whose ports are free, the usual ports first, for as long as the block lasts.

    Two replays that start at the same moment agree by a name in the kernel's abstract socket
    space, which goes away with its process. Raises Unavailable, naming the port, when none of
    three sets of ports is free.
    """
    usual = Addresses()
    for candidate in (usual, usual.moved(10_000), usual.moved(20_000)):
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0ringfence-replay-{candidate.block}-{candidate.https}")
                _try(candidate)
            except OSError:
                continue
            yield candidate
            return
    raise taken(usual.of("evil.test"), usual.https, "in use, and so are ports 10000 and 20000 up")


def taken(address: str, port: int, why: str) -> Unavailable:
    """Give the error for a port that cannot be listened on."""
    return Unavailable(
        "replay-port-taken",
        f"cannot listen on {address}:{port}: {why}",
        hint=f"stop what listens there (ss -ltnp 'sport = :{port}') or choose other ports",
    )


def _try(candidate: Addresses) -> None:
    at = candidate
    with ExitStack() as stack:
        for host in HOSTS:
            ports = [at.https, at.http, *([at.smtp, at.raw] if host == "evil.test" else [])]
            for port in ports:
                listener = stack.enter_context(socket.socket())
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((at.of(host), port))
                listener.listen()
        names = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        names.bind((at.of("evil.test"), at.dns))
