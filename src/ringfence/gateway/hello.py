"""What a TLS ClientHello says in the clear: server name, protocols, encrypted hello.

Invariants:
1. A hello that could be read in two ways (an extension twice, two names, lengths that do not add
   up) is refused (RFC 8446 section 4.2, RFC 6066 section 3).
2. At most 16 KiB are looked at, over any number of records.
"""

from dataclasses import dataclass

_MOST = 16_384
_SNI = 0
_ECH = 0xFE0D  # RFC 9849


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The readable part of a ClientHello; ``name`` as sent."""

    name: bytes | None
    encrypted: bool


class _Cursor:
    """Read length-prefixed fields; raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        if len(self.data) < size:
            raise ValueError("the hello is cut short")
        piece, self.data = self.data[:size], self.data[size:]
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def field(self, size: int) -> bytes:
        return self.take(self.number(size))


def looks_like_tls(data: bytes) -> bool:
    """Say whether a stream's first bytes may start a TLS handshake record."""
    return data[:1] == b"\x16"[: len(data)] and (len(data) < 2 or data[1] == 3)


def parse_hello(data: bytes) -> Hello | None:
    """Read a hello from a stream's first bytes; None when more are needed. Raises ValueError."""
    if not looks_like_tls(data):
        raise ValueError("not a TLS handshake")
    message = b""
    at = 0
    while len(data) >= at + 5:
        if data[at] != 0x16 or data[at + 1] != 3:
            raise ValueError("not a TLS handshake")
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if not size:
            raise ValueError("an empty TLS record")
        message += data[at + 5 : at + 5 + size]
        at += 5 + size
        if len(message) >= 4:
            wanted = int.from_bytes(message[1:4], "big")
            if message[0] != 1 or wanted > _MOST:
                raise ValueError("not a ClientHello, or a huge one")
            if len(message) >= 4 + wanted:
                return _parse(message[4 : 4 + wanted])
    if len(data) > 2 * _MOST:
        raise ValueError("a ClientHello in too many pieces")
    return None


def _parse(body: bytes) -> Hello:
    cursor = _Cursor(body)
    cursor.take(2 + 32)  # version, random
    cursor.field(1)  # session id
    cursor.field(2)  # cipher suites
    cursor.field(1)  # compression methods
    extensions: dict[int, bytes] = {}
    if cursor.data:
        inner = _Cursor(cursor.field(2))
        while inner.data:
            kind = inner.number(2)
            if kind in extensions:
                raise ValueError("an extension is given twice")
            extensions[kind] = inner.field(2)
    if cursor.data:
        raise ValueError("bytes after the extensions")
    name = _name(extensions[_SNI]) if _SNI in extensions else None
    return Hello(name=name, encrypted=_ECH in extensions)


def _name(extension: bytes) -> bytes:
    outer = _Cursor(extension)
    names = _Cursor(outer.field(2))
    kind = names.number(1)
    name = names.field(2)
    if kind != 0 or names.data or outer.data:
        raise ValueError("not exactly one server name")
    return name
