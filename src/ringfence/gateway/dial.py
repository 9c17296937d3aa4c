"""Names to addresses, once, and connections to exactly the address that was checked.

Invariants:
1. Nothing is looked up before a rule allowed the name.
2. What is dialled is an address literal that policy has seen, and the peer is compared with it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence

from ringfence.chain.errors import Unavailable
from ringfence.gateway.wire import Wire
from ringfence.policy.hosts import Host

_MOST_ANSWERS = 32


class Resolver:
    """Look names up: first in the operator's map, then with the system's resolver."""

    def __init__(self, fixed: Mapping[str, tuple[str, ...]]) -> None:
        self._fixed = fixed

    async def resolve(self, host: Host, seconds: float) -> tuple[str, ...]:
        """Give all answers. Raises Unavailable when there are none, too many, or too late."""
        if host.literal:
            return (host.name,)
        if host.name in self._fixed:
            return self._fixed[host.name]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                # As bytes: text would go through Python's own IDNA codec first.
                found = await loop.getaddrinfo(
                    host.name.encode("ascii"), None, type=socket.SOCK_STREAM
                )
        except (OSError, TimeoutError):
            raise Unavailable("name-unknown", f"{host.name} has no address") from None
        answers = tuple(dict.fromkeys(str(item[4][0]) for item in found))
        if len(answers) > _MOST_ANSWERS:
            raise Unavailable("name-unknown", f"{host.name} has too many addresses")
        return answers


def own_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    """Give those addresses that belong to this host.

    The kernel picks an own address as the source toward itself; a datagram socket shows that
    without sending anything.
    """
    own = []
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            if probe.getsockname()[0] == address:
                own.append(address)
    return tuple(own)


async def dial(
    addresses: Sequence[str], port: int, seconds: float, *, idle: float
) -> tuple[str, Wire]:
    """Connect to the first checked address that answers; give it with the connection.

    ``idle`` is how long a read may wait later on.

    Raises Unavailable when none does, or when the peer is not the address that was dialled.
    """
    loop = asyncio.get_running_loop()
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            async with asyncio.timeout(seconds):
                transport, wire = await loop.create_connection(
                    lambda: Wire(idle=idle), address, port,
                    family=family, flags=socket.AI_NUMERICHOST,
                )  # fmt: skip
        except (OSError, TimeoutError):
            continue
        peer = transport.get_extra_info("peername")
        if peer is None or peer[:2] != (address, port):
            wire.abort()
            raise Unavailable("peer-changed", "the connection went to another address")
        return address, wire
    raise Unavailable("upstream-unreachable", "no address of the host answers")
