"""One admitted request on the wire, and its reply on the way back.

Invariants:
1. The record of the decision is durable before the first connection attempt (R8); the record of
   the result follows however it ends.
2. Heads are written anew; a reply is masked of every real value of the step before it goes on.
3. A reply that could hide a value (encoded, in parts) is not asked for and not passed on.
4. Bodies of any size pass in constant memory.
"""

import asyncio
import contextlib
import hashlib
import secrets
from dataclasses import dataclass, field

from ringfence.audit.record import EventName
from ringfence.chain.errors import Refused, RingfenceError, Unavailable
from ringfence.gateway.body import LAST_CHUNK, Body, chunk
from ringfence.gateway.head import (
    NO_BODY,
    Delimiter,
    Framing,
    Headers,
    ReplyHead,
    end_to_end,
    first,
    parse_reply,
    write_reply,
    write_request,
)
from ringfence.gateway.redact import Redactor
from ringfence.gateway.request import Admitted
from ringfence.gateway.step import Step
from ringfence.gateway.swap import Misplaced
from ringfence.gateway.upstream import Services, Upstream, connect
from ringfence.gateway.wire import Wire, WireError

_INTERIM = 8  # 1xx replies before the real one


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Carry one admitted request out and its reply back."""

    services: Services
    step: Step
    client: Wire
    admitted: Admitted
    subject: str
    sni: str | None
    redactor: Redactor = field(init=False)
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    status: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    started: bool = False
    keep_alive: bool = False
    client_keeps: bool = False
    upstream: Upstream | None = None
    error: str = "revoked"
    address: str | None = None
    sent_sha256: str | None = None

    def __post_init__(self) -> None:
        self.redactor = Redactor(self.step.values)

    async def run(self, reusable: Upstream | None) -> None:
        """Record, dial unless a connection can be reused, send, reply.

        Afterwards ``upstream`` is the connection if it can be used again. Raises Unavailable or
        Refused when the reply has not been ``started``, WireError when it was cut off.
        """
        await self._record_allowed()
        began = asyncio.get_running_loop().time()
        upstream = reusable
        try:
            if upstream is None:
                upstream = await connect(
                    self.services,
                    self.admitted.incoming.origin,
                    self.admitted.addresses,
                    self.admitted.own_addresses,
                )
            self.address = upstream.address
            if await self._carry(upstream):
                self.upstream, upstream = upstream, None
            self.error = ""
        except RingfenceError as error:
            self.error = error.code
            raise
        except Misplaced:
            self.error = "placeholder-misplaced"
            raise
        except (WireError, ValueError) as error:
            self.error = "upstream-broken"
            if self.started:
                raise
            raise Unavailable("upstream-broken", str(error)) from None
        finally:
            if upstream is not None:
                upstream.wire.abort()
            self._record_result(asyncio.get_running_loop().time() - began)

    async def _record_allowed(self) -> None:
        admitted, step = self.admitted, self.step
        incoming = admitted.incoming
        origin = incoming.origin
        uses = [
            step.record(
                EventName.SECRET_USE,
                subject=lease.name,
                detail={
                    "id": self.id,
                    "host": lease.host,
                    "slot": lease.slot,
                    "version": lease.version,
                },
            )
            for lease in admitted.swapped.used
        ]
        allow = step.record(
            EventName.EGRESS_ALLOW,
            subject=self.subject,
            decision=admitted.decision,
            detail={
                "id": self.id,
                "host": origin.host.name,
                "port": origin.port,
                "scheme": origin.scheme,
                "method": incoming.head.method,
                "address": admitted.addresses[0],
                "sni": self.sni,
                "body_sha256": incoming.body_sha256,
                "bytes_up": len(incoming.read),
                "secrets": [lease.name for lease in admitted.swapped.used],
            },
        )
        await self.services.journal.write([allow, *uses])
        if step.closed:
            raise Refused("step-closed", "the step has ended")

    def _record_result(self, seconds: float) -> None:
        result = self.step.record(
            EventName.EGRESS_RESULT,
            subject=self.subject,
            detail={
                "id": self.id,
                "status": self.status,
                "bytes_up": self.bytes_up,
                "bytes_down": self.bytes_down,
                "body_sha256": self.sent_sha256,
                "address": self.address,
                "ms": round(seconds * 1000),
                "redactions": self.redactor.count,
                "error": self.error or None,
            },
        )
        self.services.journal.later(result)

    async def _carry(self, upstream: Upstream) -> bool:
        """Send and answer; say whether both connections are clean for another request."""
        incoming = self.admitted.incoming
        framing = self._framing()
        upstream.wire.write(
            write_request(
                incoming.head.method, incoming.head.path, self._request_headers(), framing
            )
            + (incoming.read if incoming.complete else b"")
        )
        if incoming.complete:
            self.bytes_up = len(incoming.read)
            self.sent_sha256 = incoming.body_sha256
            await self._reply(upstream)
            return self.keep_alive
        upload = asyncio.create_task(self._upload(upstream, framing))
        try:
            await self._reply(upstream)
        except (WireError, ValueError, Unavailable):
            # When the upload refused, it dropped the connection: its reason is the true one.
            if upload.done():
                await upload
            raise
        finally:
            whole = upload.done() and not upload.cancelled() and upload.exception() is None
            self.keep_alive = self.keep_alive and whole
            upload.cancel()
            with contextlib.suppress(
                asyncio.CancelledError, WireError, ValueError, RingfenceError, Misplaced
            ):
                await upload
        return self.keep_alive

    def _framing(self) -> Framing:
        incoming = self.admitted.incoming
        if incoming.complete:
            if incoming.read or incoming.head.first("content-length"):
                return Framing(by=Delimiter.LENGTH, length=len(incoming.read))
            return NO_BODY
        return incoming.head.framing

    def _request_headers(self) -> Headers:
        dropped: set[str] = set()
        extra: tuple[tuple[str, str], ...] = ()
        if self.step.values:
            # A compressed reply could not be searched for values.
            dropped.add("accept-encoding")
            extra = (("accept-encoding", "identity"),)
        if self.admitted.swapped.used:
            # A value could be fetched in parts that are each too short to be recognised.
            dropped |= {"range", "if-range"}
        kept = tuple(
            item for item in end_to_end(self.admitted.swapped.headers) if item[0] not in dropped
        )
        return (("host", self.admitted.incoming.origin.authority), *kept, *extra)

    async def _upload(self, upstream: Upstream, framing: Framing) -> None:
        """Send a body that was not read before the decision, watching for placeholders."""
        incoming, admitted = self.admitted.incoming, self.admitted
        digest = hashlib.sha256()
        piece = incoming.read
        try:
            while True:
                if piece:
                    if piece is not incoming.read:
                        admitted.guard.feed(piece)
                    self.bytes_up += len(piece)
                    digest.update(piece)
                    chunked = framing.by is Delimiter.CHUNKED
                    upstream.wire.write(chunk(piece) if chunked else piece)
                    await upstream.wire.drain()
                if incoming.complete:
                    break
                piece = await incoming.body.read()
            if framing.by is Delimiter.CHUNKED:
                upstream.wire.write(LAST_CHUNK)
            self.sent_sha256 = digest.hexdigest()
        except BaseException:
            upstream.wire.abort()
            raise

    async def _reply(self, upstream: Upstream) -> None:
        """Read the reply and pass it on, masked."""
        head = await self._reply_head(upstream)
        framing = self._reply_framing(head)
        incoming = self.admitted.incoming
        self.keep_alive = head.keep_alive
        headers = self._reply_headers(head)
        self.client_keeps = incoming.head.keep_alive and framing.by is not Delimiter.CLOSE
        out = write_reply(head.status, headers, framing, keep_alive=self.client_keeps)
        body = Body(upstream.wire, head.framing)
        chunked = framing.by is Delimiter.CHUNKED
        if head.framing.by is not Delimiter.LENGTH or body.ended():
            self.started = True
            self.client.write(out)
            out = b""
            await self.client.drain()
        redact = bool(self.step.values)
        while not body.ended():
            piece = await body.read()
            if redact:
                mask = self.redactor.last if body.ended() else self.redactor.feed
                piece = mask(piece)
            if piece or out:
                self.bytes_down += len(piece)
                self.started = True
                self.client.write(out + (chunk(piece) if chunked and piece else piece))
                out = b""
                await self.client.drain()
        if chunked:
            self.client.write(LAST_CHUNK)
            await self.client.drain()

    async def _reply_head(self, upstream: Upstream) -> ReplyHead:
        limits = self.services.limits
        method = self.admitted.incoming.head.method
        for _ in range(_INTERIM):
            block = await upstream.wire.head(limits.head_bytes, limits.head_seconds)
            if not block:
                raise WireError("the server closed without a reply")
            head = parse_reply(block, method=method, header_count=limits.header_count)
            if head.status >= 200:
                self.status = head.status
                return head
            if head.status == 101:
                raise WireError("the server switched protocols unasked")
        raise WireError("the server sends interim replies only")

    def _reply_framing(self, head: ReplyHead) -> Framing:
        """Frame the reply for our client."""
        incoming = self.admitted.incoming
        match head.framing.by:
            case Delimiter.NONE:
                length = first(head.headers, "content-length")
                if incoming.head.method == "HEAD" and length:
                    return Framing(by=Delimiter.LENGTH, length=int(length))
                return NO_BODY
            case Delimiter.LENGTH:
                return head.framing
            case Delimiter.CHUNKED | Delimiter.CLOSE:
                by = Delimiter.CHUNKED if incoming.head.minor else Delimiter.CLOSE
                return Framing(by=by)

    def _reply_headers(self, head: ReplyHead) -> Headers:
        """Give the headers that travel back, masked."""
        headers = end_to_end(head.headers)
        if not self.step.values:
            return headers
        coding = first(headers, "content-encoding").strip().lower()
        if coding not in {"", "identity"}:
            raise Refused(
                "reply-encoded",
                "the server sent an encoded reply, which cannot be searched for secrets",
                hint="ask the server for identity encoding",
            )
        if self.step.values.find_folded("\n".join([name for name, _ in headers]).encode("ascii")):
            raise Refused("reply-refused", "a header name of the reply holds a secret")
        return self.redactor.headers(headers)
