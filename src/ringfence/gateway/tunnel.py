"""A tunnel to a host whose traffic no rule has to read.

Invariants:
1. The addresses are decided before the client is told yes, the server name before anything is
   dialled, and the record is durable before that.
2. No secret travels here: a host with a secret is always read.
"""

import asyncio
import secrets
from dataclasses import dataclass, field, replace

from ringfence.audit.record import EventName
from ringfence.chain.errors import Refused
from ringfence.chain.words import Json
from ringfence.gateway.dial import dial, own_addresses
from ringfence.gateway.messages import Row
from ringfence.gateway.step import Step, require
from ringfence.gateway.upstream import Origin, Services
from ringfence.gateway.wire import Wire, WireError
from ringfence.policy.decision import Decision
from ringfence.policy.effect import NetEffect

_PIECE = 65_536


@dataclass(slots=True, kw_only=True)
class Tunnel:
    """Carry bytes between a client and the host it was allowed."""

    services: Services
    step: Step
    client: Wire
    origin: Origin
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    addresses: tuple[str, ...] = ()
    decision: Decision | None = None
    bytes_up: int = 0
    bytes_down: int = 0

    async def admit(self, effect: NetEffect) -> None:
        """Resolve and decide. Raises Refused or Unavailable."""
        limits = self.services.limits
        self.addresses = await self.services.resolver.resolve(self.origin.host, limits.dial_seconds)
        own = own_addresses(self.addresses)
        self.decision = require(
            self.step.decide(replace(effect, addresses=self.addresses, own_addresses=own))
        )

    def _record(
        self, event: EventName, detail: dict[str, Json], decision: Decision | None = None
    ) -> Row:
        return self.step.record(
            event,
            subject=f"CONNECT {self.origin}",
            decision=decision,
            detail={"id": self.id, **detail},
        )

    async def run(self) -> None:
        """Record, dial, carry both ways until both ends are done. Raises Unavailable, WireError."""
        await self.services.journal.write(
            [
                self._record(
                    EventName.EGRESS_ALLOW,
                    {
                        "host": self.origin.host.name,
                        "port": self.origin.port,
                        "scheme": self.origin.scheme,
                        "method": "CONNECT",
                        "address": self.addresses[0],
                        "sni": None if self.origin.host.literal else self.origin.host.name,
                        "secrets": [],
                    },
                    self.decision,
                )
            ]
        )
        if self.step.closed:
            raise Refused("step-closed", "the step has ended")
        began = asyncio.get_running_loop().time()
        error = "revoked"
        far: Wire | None = None
        try:
            limits = self.services.limits
            _, far = await dial(
                self.addresses, self.origin.port, limits.dial_seconds, idle=limits.idle_seconds
            )
            await self._carry(far)
            error = ""
        except Exception:
            # Whatever ended it goes on upwards; the result record must only not read as a success.
            error = "upstream-broken"
            raise
        finally:
            if far is not None:
                far.abort()
            detail: dict[str, Json] = {
                "status": 0 if error else 200,
                "bytes_up": self.bytes_up,
                "bytes_down": self.bytes_down,
                "ms": round((asyncio.get_running_loop().time() - began) * 1000),
                "redactions": 0,
            }
            if error:
                detail["error"] = error
            self.services.journal.later(self._record(EventName.EGRESS_RESULT, detail))

    async def _carry(self, far: Wire) -> None:
        async def up() -> None:
            while piece := await self.client.read(_PIECE):
                self.bytes_up += len(piece)
                far.write(piece)
                await far.drain()
            far.finish()

        async def down() -> None:
            while piece := await far.read(_PIECE):
                self.bytes_down += len(piece)
                self.client.write(piece)
                await self.client.drain()
            self.client.finish()

        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(up())
                both.create_task(down())
        except* WireError:
            raise WireError("the tunnel broke") from None
