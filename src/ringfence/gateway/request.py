"""One request as far as the decision: everything that can be known before anything is sent.

Invariants:
1. The order is fixed: 1. read the head and decide by it, 2. read what rules need of the body,
   3. decide again if that says more, 4. look for placeholders, 5. resolve, 6. decide with every
   address, 7. decide each secret. Whatever fails on the way is a Refused. A connection that can be
   reused has its address from the beginning, so that 5 and 6 have nothing to add.
2. Nothing of the request has left when this ends.
"""

import hashlib
import re
from dataclasses import dataclass, replace

from ringfence.chain.errors import Refused
from ringfence.gateway.body import Body
from ringfence.gateway.dial import own_addresses
from ringfence.gateway.head import Delimiter, RequestHead
from ringfence.gateway.redact import Watch
from ringfence.gateway.step import Step, require
from ringfence.gateway.swap import Misplaced, Swapped, check_target, foreign_placeholder, swap
from ringfence.gateway.upstream import Origin, Services, Upstream
from ringfence.gateway.wire import Wire
from ringfence.policy.decision import Decision
from ringfence.policy.effect import NetEffect, SecretEffect
from ringfence.policy.egress import body_limit, overrides_method, parameters, wants_operations
from ringfence.policy.graphql import operations

_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART_OVERRIDE = re.compile(rb"name\s*\*?=[^\r\n]{0,16}_method", re.IGNORECASE)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class Incoming:
    """A request being judged: its head, its origin, and what was read of its body."""

    head: RequestHead
    origin: Origin
    body: Body
    read: bytes = b""
    _sha256: str | None = None

    @property
    def complete(self) -> bool:
        """Say whether the whole body has been read."""
        return self.body.done

    @property
    def body_sha256(self) -> str | None:
        """The digest of the body, known before sending only when it was read whole."""
        if self.complete and self._sha256 is None:
            self._sha256 = hashlib.sha256(self.read).hexdigest()
        return self._sha256


class Guard:
    """Watch a body piece by piece for what may not be in it, and for its size."""

    __slots__ = ("_limit", "_multipart", "_size", "_tail", "_watch")

    def __init__(self, step: Step, head: RequestHead, limit: int | None) -> None:
        self._watch = Watch(step.placeholders)
        kind = head.first("content-type").strip().lower()
        self._multipart = kind.startswith("multipart/form-data")
        self._limit = limit
        self._size = 0
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        """Look at the next piece. Raises Misplaced or Refused."""
        self._size += len(piece)
        if self._limit is not None and self._size > self._limit:
            raise Refused("body-too-large", f"the body is larger than {self._limit} bytes")
        found = self._watch.feed(piece)
        if found is not None:
            raise Misplaced(found, "the body")
        if self._multipart:
            data = self._tail + piece
            self._tail = data[-64:]
            if _MULTIPART_OVERRIDE.search(data):
                raise Refused("method-override", "the request names a second method")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A request that may be sent: where to, with which headers and secrets."""

    incoming: Incoming
    decision: Decision
    addresses: tuple[str, ...]
    own_addresses: tuple[str, ...]
    swapped: Swapped
    guard: Guard


def subject(step: Step, head: RequestHead, origin: Origin) -> str:
    """Name a request for the record: no query, no secret, bounded."""
    line = f"{head.method[:32]} {origin}{head.path.partition('?')[0]}"[:512]
    data = line.encode("latin-1")
    for begin, end in step.values.spans(data):
        line = line[:begin] + "*" * (end - begin) + line[end:]
    return line


async def admit(
    services: Services, step: Step, client: Wire, incoming: Incoming, reusable: Upstream | None
) -> Admitted:
    """Judge one request; ``reusable`` is a connection that could carry it.

    Raises Refused, Misplaced, Unavailable when the name cannot be resolved, and WireError or
    ValueError when the body cannot be read.
    """
    head, rules = incoming.head, step.route.grant.network
    effect = _effect(incoming, reusable)  # 1
    if step.placeholders:
        _readable(head)
    try:
        wanted = wants_operations(effect, rules)
    except ValueError:
        wanted = False  # the decision says what is wrong
    if not wanted:
        decision = require(step.decide(effect))
    whole = await _with_body(services, client, incoming, effect, wanted=wanted)  # 2
    if wanted or whole is not effect:
        decision = require(step.decide(whole))  # 3
    # A body that was read whole has been decided with its size.
    limit = None if incoming.complete else body_limit(whole, rules)
    guard = Guard(step, head, limit)  # 4
    swapped = _placeholders(step, incoming, guard)
    if reusable is None:
        addresses = await services.resolver.resolve(  # 5
            incoming.origin.host, services.limits.dial_seconds
        )
        whole = replace(whole, addresses=addresses, own_addresses=own_addresses(addresses))
        decision = require(step.decide(whole))  # 6
    for lease in swapped.used:  # 7
        if incoming.origin.scheme != "https":
            raise Refused("secret-needs-tls", "a secret is sent over TLS only")
        if step.clock() >= lease.until:
            raise Refused("lease-expired", "the lease of the secret has ended")
        name = f"[{lease.host}]" if ":" in lease.host and "[" not in lease.host else lease.host
        require(step.decide(SecretEffect(name=lease.name, host=name.strip("[]"), slot=lease.slot)))
    return Admitted(
        incoming=incoming,
        decision=decision,
        addresses=whole.addresses,
        own_addresses=whole.own_addresses,
        swapped=swapped,
        guard=guard,
    )


def _effect(incoming: Incoming, reusable: Upstream | None) -> NetEffect:
    """Describe the head; refuse what no rule can allow."""
    head, origin = incoming.head, incoming.origin
    if head.first("upgrade"):
        raise Refused("upgrade-refused", "the connection stays HTTP/1.1 (no WebSocket, no h2c)")
    for single in ("content-type", "content-encoding"):
        if len(head.table.get(single, ())) > 1:
            raise Refused("request-malformed", f"{single} is given twice")
    return NetEffect(
        host=origin.host.name,
        port=origin.port,
        scheme=origin.scheme,
        method=head.method,
        path=head.path,
        body_bytes=head.framing.length,
        addresses=(reusable.address,) if reusable is not None else (),
        own_addresses=reusable.own_addresses if reusable is not None else (),
        method_override=overrides_method(head.table, ()),
    )


def _readable(head: RequestHead) -> None:
    """Refuse a body in which a placeholder could not be seen.

    CGI-like servers read ``_`` in a header name as ``-``.
    """
    if head.framing.by is Delimiter.NONE:
        return
    codings = (*head.table.get("content-encoding", ()), *head.table.get("content_encoding", ()))
    if any(coding.strip().lower() not in {"", "identity"} for coding in codings):
        raise Refused(
            "body-encoded",
            "the body is compressed, so it cannot be searched for placeholders",
            hint="send the body without Content-Encoding",
        )


async def _with_body(
    services: Services, client: Wire, incoming: Incoming, effect: NetEffect, *, wanted: bool
) -> NetEffect:
    """Read the body up to the buffer's size and complete the effect with what it says."""
    head, body, most = incoming.head, incoming.body, services.limits.buffered_body_bytes
    expect = head.first("expect").lower()
    if expect not in {"", "100-continue"}:
        raise Refused("request-malformed", "an unknown expectation")
    if expect and not body.ended():
        client.write(_CONTINUE)
    if head.framing.by is Delimiter.CHUNKED or head.framing.length <= most:
        pieces: list[bytes] = []
        size = 0
        while not body.ended() and size <= most:
            pieces.append(await body.read())
            size += len(pieces[-1])
        incoming.read = b"".join(pieces)
    content_type = head.first("content-type")
    if not incoming.complete and (wanted or _is_form(content_type)):
        raise Refused(
            "body-uninspectable",
            f"a rule has to read this body and it is larger than {most} bytes",
        )
    size = max(effect.body_bytes, len(incoming.read))
    override = effect.method_override or _body_overrides(content_type, incoming.read)
    if (size, override) != (effect.body_bytes, effect.method_override):
        effect = replace(effect, body_bytes=size, method_override=override)
    if wanted:
        effect = replace(effect, operations=_operations(incoming))
    return effect


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == _URLENCODED


def _body_overrides(content_type: str, data: bytes) -> bool:
    """Say whether a form asks for another method; what cannot be read, asks."""
    if not _is_form(content_type):
        return False
    try:
        return overrides_method((), parameters(data.decode("latin-1")))
    except ValueError:
        return True


def _operations(incoming: Incoming) -> tuple[str, ...] | None:
    head = incoming.head
    try:
        return operations(
            head.method,
            head.path.partition("?")[2],
            incoming.read,
            content_type=head.first("content-type"),
            content_encoding=head.first("content-encoding"),
        )
    except ValueError:
        return None


def _placeholders(step: Step, incoming: Incoming, guard: Guard) -> Swapped:
    """Swap placeholders in their slots and look for them everywhere else. Raises Misplaced."""
    head = incoming.head
    check_target(head.path, step.placeholders)
    swapped = swap(head.headers, incoming.origin.host, step.route.leases, step.placeholders)
    guard.feed(incoming.read)
    if foreign_placeholder(
        b"%b\n%b\n%b" % (head.path.encode("latin-1"), swapped.kept, incoming.read)
    ):
        raise Misplaced("", "the request, and it belongs to another step")
    return swapped
