"""The far side: a checked, verified connection to one origin.

Invariants:
1. A connection is used only toward the scheme, host and port it was opened for.
2. TLS is verified against the host's name with the system's roots and those an operator added.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.chain.errors import Unavailable
from ringfence.gateway.dial import Resolver, dial
from ringfence.gateway.journal import Journal
from ringfence.gateway.settings import BrokerLimits
from ringfence.gateway.wire import Wire, WireError
from ringfence.policy.hosts import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every connection of the broker shares."""

    limits: BrokerLimits
    resolver: Resolver
    journal: Journal
    trust: ssl.SSLContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request goes."""

    scheme: str
    host: Host
    port: int

    @property
    def authority(self) -> str:
        """The origin as a Host header says it."""
        return self.host.authority(self.port, default=443 if self.scheme == "https" else 80)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host.authority(self.port, default=0)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An open connection to an origin, at the address that was checked."""

    origin: Origin
    address: str
    own_addresses: tuple[str, ...]  # the address again, if it belonged to this host when dialled
    wire: Wire


def trust(extra_roots_pem: str) -> ssl.SSLContext:
    """Give the client context: system roots, and an operator's own where given."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if extra_roots_pem:
        context.load_verify_locations(cadata=extra_roots_pem)
    return context


async def connect(
    services: Services, origin: Origin, addresses: Sequence[str], own: Sequence[str]
) -> Upstream:
    """Open a connection to checked addresses, some of them this host's own. Raises Unavailable."""
    limits = services.limits
    address, wire = await dial(
        addresses, origin.port, limits.dial_seconds, idle=limits.idle_seconds
    )
    if origin.scheme == "https":
        try:
            async with asyncio.timeout(limits.dial_seconds):
                await wire.start_tls(services.trust, server_name=origin.host.name)
        except ssl.SSLError as error:
            wire.abort()
            why = getattr(error, "verify_message", "") or "the TLS handshake failed"
            raise Unavailable("upstream-untrusted", f"{origin}: {why}") from None
        except (WireError, TimeoutError):
            wire.abort()
            raise Unavailable("upstream-unreachable", f"{origin}: no TLS handshake") from None
        except BaseException:
            wire.abort()
            raise
    mine = (address,) if address in own else ()
    return Upstream(origin=origin, address=address, own_addresses=mine, wire=wire)
