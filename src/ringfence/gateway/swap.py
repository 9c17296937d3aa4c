"""Put secrets where their placeholders stand, in declared slots only.

Invariants:
1. A placeholder is swapped only as the whole value of its slot, after one scheme word, or as the
   user or password of Basic credentials; once; toward its own host.
2. A placeholder anywhere else in a request, in any common encoding, refuses the whole request: it
   doubles as a tripwire.
3. Headers without a placeholder are not changed.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.gateway.head import Headers
from ringfence.gateway.lease import LiveLease
from ringfence.gateway.redact import Needles
from ringfence.policy.egress import percent_decode
from ringfence.policy.hosts import Host
from ringfence.vault.placeholder import find


class Misplaced(Exception):  # noqa: N818 - names what was found, as the refusals do
    """A placeholder stands where it may not; ``secret`` is the name behind it."""

    def __init__(self, secret: str, place: str) -> None:
        super().__init__(f"a placeholder stands in {place}")
        self.secret = secret
        self.place = place


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapped:
    """Headers ready for the wire, the leases that were used, and what was left alone."""

    headers: Headers
    used: tuple[LiveLease, ...]
    kept: bytes  # the lines that no secret was put into


def needles_of(leases: Sequence[LiveLease]) -> Needles:
    """Give what to look for in requests."""
    return Needles((lease.name, lease.placeholder.encode("ascii")) for lease in leases)


def foreign_placeholder(data: bytes) -> bool:
    """Say whether data holds a placeholder of any run, recognised by its checksum."""
    return bool(find(data))


def swap(headers: Headers, host: Host, leases: Sequence[LiveLease], needles: Needles) -> Swapped:
    """Swap the placeholders in headers toward a host.

    Raises Misplaced for a placeholder in another header, another host's, or used twice.
    """
    if not needles:
        everything = "\n".join([f"{name}: {value}" for name, value in headers])
        return Swapped(headers=headers, used=(), kept=everything.encode("latin-1"))
    out: list[tuple[str, str]] = []
    used: list[LiveLease] = []
    lines: list[str] = []
    slots = [lease.header for lease in leases]
    for item in headers:
        name, value = item
        fresh, lease = _slot(name, value, host, leases) if name in slots else (value, None)
        if lease is None:
            lines.append(f"{name}: {value}")
            out.append(item)
            continue
        if lease in used or any(key == name for key, _ in out):
            raise Misplaced(lease.name, f"two {name} headers")
        used.append(lease)
        out.append((name, fresh))
    # All at once: one by one only to name the one.
    kept = "\n".join(lines).encode("latin-1")
    if needles.hit(kept):
        for line in lines:
            found = needles.find(line.encode("latin-1"))
            if found is not None:
                raise Misplaced(found, f"header {line.partition(':')[0]}")
    return Swapped(headers=tuple(out), used=tuple(used), kept=kept)


def _slot(
    name: str, value: str, host: Host, leases: Sequence[LiveLease]
) -> tuple[str, LiveLease | None]:
    """Swap in one header if it is a slot that holds exactly its placeholder."""
    for lease in leases:
        if lease.header == name and lease.host.strip("[]") == host.name:
            fresh = _place(value, lease)
            if fresh is not None:
                return fresh, lease
    return value, None


def _place(value: str, lease: LiveLease) -> str | None:
    """Give the header value with the secret in the placeholder's stead, or None."""
    if value == lease.placeholder:
        return lease.value.reveal().decode("latin-1")
    scheme, space, rest = value.partition(" ")
    if not space or not scheme.isalnum():
        return None
    if rest == lease.placeholder:
        return f"{scheme} {lease.value.reveal().decode('latin-1')}"
    if scheme.lower() == "basic":
        basic = _basic(rest, lease)
        return None if basic is None else f"{scheme} {basic}"
    return None


def _basic(encoded: str, lease: LiveLease) -> str | None:
    """Swap in ``base64(user:password)``; the other half must not hold a placeholder too."""
    try:
        pair = base64.b64decode(encoded.encode("latin-1"), validate=True)
    except binascii.Error:
        return None
    mark = lease.placeholder.encode("ascii")
    user, colon, password = pair.partition(b":")
    if not colon or pair.count(mark) != 1 or mark not in (user, password):
        return None
    secret = lease.value.reveal()
    fresh = user + b":" + secret if password == mark else secret + b":" + password
    return base64.b64encode(fresh).decode("ascii")


def check_target(target: str, needles: Needles) -> None:
    """Refuse a placeholder in path or query, raw or percent-encoded. Raises Misplaced."""
    if not needles:
        return
    raw = target.encode("latin-1")
    found = needles.find(raw)
    if found is None and b"%" in raw:
        try:
            found = needles.find(percent_decode(target, plus=True).encode("utf-8"))
        except ValueError:
            found = None  # policy refuses such a target by itself
    if found is not None:
        raise Misplaced(found, "the path or query")
