"""One connection from a box, from its first byte to its last.

Invariants:
1. Host, port and server name are checked before a byte is forwarded; inside an intercepted
   connection every request has to name the host of its CONNECT, else 421.
2. Every refusal is recorded before it is answered, and ends the connection.
3. What is tunnelled without being read starts with a ClientHello for the host that was allowed.
"""

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass, field

from ringfence.audit.record import EventName
from ringfence.chain.errors import Refused, RingfenceError, Unavailable
from ringfence.chain.words import Json
from ringfence.gateway.body import Body
from ringfence.gateway.exchange import Exchange
from ringfence.gateway.head import Delimiter, Form, Framing, RequestHead, parse_request, write_reply
from ringfence.gateway.hello import parse_hello
from ringfence.gateway.messages import Row
from ringfence.gateway.request import Incoming, admit, subject
from ringfence.gateway.step import Step, require
from ringfence.gateway.swap import Misplaced
from ringfence.gateway.tunnel import Tunnel
from ringfence.gateway.upstream import Origin, Services, Upstream
from ringfence.gateway.wire import Wire, WireError
from ringfence.policy.decision import Decision
from ringfence.policy.effect import NetEffect
from ringfence.policy.egress import must_inspect
from ringfence.policy.hosts import parse_host

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_STATUS = {
    "request-malformed": 400,
    "not-a-proxy-request": 400,
    "body-encoded": 415,
    "host-mismatch": 421,
    "audit-unavailable": 503,
    "name-unknown": 502,
    "upstream-unreachable": 502,
    "upstream-untrusted": 502,
    "upstream-broken": 502,
    "peer-changed": 502,
    "reply-encoded": 502,
    "reply-refused": 502,
}
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 1_048_576


@dataclass(slots=True, kw_only=True)
class Session:
    """Serve one connection of one step."""

    services: Services
    step: Step
    client: Wire
    upstream: Upstream | None = None
    about: str = "connection"
    detail: dict[str, Json] = field(default_factory=dict)
    answerable: bool = True
    recorded: bool = False

    async def run(self) -> None:
        """Serve until either side ends or a request is refused. Never raises but when cancelled."""
        try:
            await self._serve()
            self.client.close()
        except Misplaced as error:
            await self._alarm(error)
        except RingfenceError as error:
            await self._refused(error)
        except WireError:
            self.client.abort()
        except BaseException:
            self.client.abort()
            raise
        finally:
            self._drop_upstream()

    def _drop_upstream(self) -> None:
        if self.upstream is not None:
            self.upstream.wire.abort()
            self.upstream = None

    async def _head(self) -> RequestHead | None:
        """Read the next request head; None at the end. Raises Refused for a malformed one."""
        limits = self.services.limits
        try:
            block = await self.client.head(limits.head_bytes, limits.head_seconds)
            if not block:
                return None
            return parse_request(
                block, header_count=limits.header_count, target_bytes=limits.target_bytes
            )
        except ValueError as error:
            self.about = "malformed request"
            raise Refused("request-malformed", str(error)) from None

    async def _serve(self) -> None:
        """Serve plain proxy requests until a CONNECT takes the connection over."""
        while (head := await self._head()) is not None:
            if head.host is None:
                raise Refused("request-malformed", "the request has no host")
            if head.form is Form.AUTHORITY:
                await self._connect(head, Origin(scheme="https", host=head.host, port=head.port))
                return
            origin = Origin(scheme="http", host=head.host, port=head.port or 80)
            self._about_origin(head, origin)
            if head.form is not Form.ABSOLUTE or head.scheme != "http":
                raise Refused(
                    "not-a-proxy-request",
                    "only CONNECT and http:// URLs are served here",
                    hint="set https_proxy for https and http_proxy for http",
                )
            if not await self._request(head, origin, sni=None):
                return

    async def _connect(self, head: RequestHead, origin: Origin) -> None:
        """Decide a CONNECT, then read what is inside or tunnel it."""
        self._about_origin(head, origin)
        if head.framing.by is not Delimiter.NONE:
            raise Refused("request-malformed", "CONNECT has no body")
        effect = NetEffect(host=origin.host.name, port=origin.port, scheme=origin.scheme)
        require(self.step.decide(effect))
        try:
            inspect = must_inspect(origin.host.name, origin.port, self.step.route.grant)
        except ValueError:
            raise Refused("policy-error", "the policy could not be applied") from None
        if inspect:
            await self._intercept(origin)
            return
        tunnel = Tunnel(services=self.services, step=self.step, client=self.client, origin=origin)
        await tunnel.admit(effect)
        self._established()
        await self._hello(origin, tunnelled=True)
        await tunnel.run()

    def _about_origin(self, head: RequestHead, origin: Origin) -> None:
        self.about = subject(self.step, head, origin)
        self.detail = {
            "host": origin.host.name,
            "port": origin.port,
            "scheme": origin.scheme,
            "method": head.method[:32],
        }

    def _established(self) -> None:
        self.client.write(_ESTABLISHED)
        self.answerable = False

    async def _hello(self, origin: Origin, *, tunnelled: bool) -> None:
        """Look at the ClientHello before anything answers it. Raises Refused."""
        least = 5
        try:
            async with asyncio.timeout(self.services.limits.head_seconds):
                while (hello := parse_hello(data := await self.client.peek(least))) is None:
                    if len(data) < least:
                        raise WireError("the client closed during its hello")
                    least = len(data) + 1
            said = parse_host(hello.name) if hello.name is not None else None
        except ValueError as error:
            raise Refused("not-tls", f"after CONNECT comes a TLS handshake: {error}") from None
        except TimeoutError:
            raise Refused("not-tls", "after CONNECT comes a TLS handshake: none came") from None
        if said is None and not origin.host.literal:
            raise Refused("sni-missing", "the client names no server in its TLS handshake")
        if said is not None and said != origin.host:
            self.detail["sni"] = said.name
            raise Refused("sni-mismatch", "CONNECT and the TLS handshake name different servers")
        if tunnelled and hello.encrypted:
            raise Refused("ech-refused", "an encrypted ClientHello hides the server it is for")

    async def _intercept(self, origin: Origin) -> None:
        """End the client's TLS here and judge every request inside."""
        self._established()
        await self._hello(origin, tunnelled=False)
        try:
            await self.client.start_tls(self.step.authority.context(origin.host))
        except ssl.SSLError as error:
            reason = f"the client ended the TLS handshake ({error.reason or 'unknown'})"
            hint = "let the client trust the certificate bundle of its box"
            raise Refused("client-tls-failed", reason, hint=hint) from None
        self.answerable = True
        sni = None if origin.host.literal else origin.host.name
        while (head := await self._head()) is not None:
            self._about_origin(head, origin)
            if head.form is Form.AUTHORITY:
                raise Refused("nested-connect", "a CONNECT inside a CONNECT")
            if (head.host, head.port or 443) != (origin.host, origin.port) or (
                head.scheme not in {"", "https"}
            ):
                raise Refused("host-mismatch", "the request is for another host than its CONNECT")
            if not await self._request(head, origin, sni=sni):
                return

    async def _request(self, head: RequestHead, origin: Origin, *, sni: str | None) -> bool:
        """Judge and carry one request; say whether another may follow."""
        upstream = self.upstream
        if upstream is not None and (upstream.origin != origin or upstream.wire.stale()):
            self._drop_upstream()
            upstream = None
        incoming = Incoming(head, origin, Body(self.client, head.framing))
        try:
            admitted = await admit(
                self.services,
                self.step,
                self.client,
                incoming,
                upstream,
            )
        except ValueError as error:
            raise Refused("request-malformed", str(error)) from None
        self.upstream = None
        exchange = Exchange(
            services=self.services,
            step=self.step,
            client=self.client,
            admitted=admitted,
            subject=self.about,
            sni=sni,
        )
        try:
            await exchange.run(upstream)
        except (RingfenceError, Misplaced) as error:
            self.answerable = not exchange.started
            self.recorded = isinstance(error, Unavailable)
            raise
        except ValueError as error:
            raise WireError("the reply broke off") from error
        self.upstream = exchange.upstream
        return exchange.client_keeps and incoming.complete

    async def _alarm(self, error: Misplaced) -> None:
        """Record a placeholder where it may not be, and refuse the request."""
        refusal = Refused(
            "placeholder-misplaced",
            str(error),
            hint="send the placeholder only to its host, in its slot",
        )
        decision = Decision.deny(refusal.code, refusal.message, fix=refusal.hint)
        alarm = self.step.record(
            EventName.SECRET_DENY,
            subject=error.secret or "unknown",
            decision=decision,
            detail={**self.detail, "place": error.place},
        )
        await self._refused(refusal, alarm)

    async def _refused(self, error: RingfenceError, *alarms: Row) -> None:
        """Record a refusal, then answer it and close."""
        decision = Decision.deny(error.code, error.message, where=error.where, fix=error.hint)
        if not self.recorded:
            deny = self.step.record(
                EventName.EGRESS_DENY, subject=self.about, decision=decision, detail=self.detail
            )
            with contextlib.suppress(Unavailable):
                await self.services.journal.write([deny, *alarms])
        try:
            if self.answerable:
                await self._answer(error)
            self.client.close()
        except WireError:
            self.client.abort()

    async def _answer(self, error: RingfenceError) -> None:
        """Say no in JSON; then read on a little, so that the answer is not lost to a reset."""
        body = json.dumps(
            {"error": {"rule": error.code, "reason": error.message, "fix": error.hint}}
        ).encode()
        framing = Framing(by=Delimiter.LENGTH, length=len(body))
        headers = (("content-type", "application/json"), ("cache-control", "no-store"))
        status = _STATUS.get(error.code, 403)
        self.client.write(write_reply(status, headers, framing, keep_alive=False) + body)
        await self.client.drain()
        self.client.finish()
        left = _LINGER_BYTES
        with contextlib.suppress(TimeoutError, WireError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while left > 0 and (piece := await self.client.read(65_536)):
                    left -= len(piece)
