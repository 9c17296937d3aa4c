"""The disguises a value can leave in, as byte patterns and as ways to undo an encoding.

Invariants:
1. Every pattern is computed from the value alone; nothing is guessed from what is searched.
2. Undoing an encoding is bounded in size and depth.

It knows nothing of logs, files or arrival order: that is the oracle's part.
"""

import base64
import html
import re
import zlib
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

MAX_INFLATED = 4 * 1024 * 1024
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_JSON_ESCAPE = re.compile(rb"\\u00([0-9a-fA-F]{2})")
_GZIP_MAGIC = b"\x1f\x8b\x08"


def patterns(core: str) -> dict[str, bytes]:
    """Give every fixed disguise of ``core``, by name.

    Base64 and base32 are given for every offset at which the value can stand in a longer text,
    without the characters its neighbours would change.
    """
    raw = core.encode()
    found = {
        "raw": raw,
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "hex-upper": raw.hex().upper().encode(),
        "hex-reversed": raw[::-1].hex().encode(),
        "percent": "".join(f"%{b:02x}" for b in raw).encode(),
        "html-decimal": "".join(f"&#{b};" for b in raw).encode(),
        "html-hex": "".join(f"&#x{b:x};" for b in raw).encode(),
        "json-unicode": "".join(f"\\u{b:04x}" for b in raw).encode(),
    }
    for offset in range(3):
        inner = _inner(base64.b64encode(b"\0" * offset + raw), offset, len(raw), group=3, size=4)
        found[f"base64+{offset}"] = inner
        found[f"base64url+{offset}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    for offset in range(5):
        inner = _inner(base64.b32encode(b"\0" * offset + raw), offset, len(raw), group=5, size=8)
        found[f"base32+{offset}"] = inner
        found[f"base32-lower+{offset}"] = inner.lower()
    return found


def views(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Give the data as it is and with each reversible encoding undone, named."""
    yield "", data
    if b"%" in data:
        yield "unquoted", unquote_to_bytes(data)
    if b"&" in data:
        yield "html-unescaped", html.unescape(data.decode("latin-1")).encode("utf-8", "replace")
    if b"\\" in data:
        plain = _JSON_ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), data)
        yield "json-unescaped", plain.replace(b"\\/", b"/").replace(b'\\"', b'"')
    if any(c in data for c in (b"\n", b"\r", b" ", b"\t")):
        yield "unfolded", re.sub(rb"[\s\\]+", b"", data)
    yield from _inflated(data)


def _inner(encoded: bytes, offset: int, length: int, *, group: int, size: int) -> bytes:
    """Give the characters of ``encoded`` that depend on the value alone, not its neighbours."""
    bits = size * 5 if group == 5 else size * 6
    per_char = bits // size
    first = -(-offset * 8 // per_char)
    last = (offset + length) * 8 // per_char
    return encoded[first:last]


def _inflated(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Give what gzip streams in the data hold, bare or wrapped in base64."""
    yield from (("gunzipped", out) for out in _streams(data))
    for run in _BASE64_RUN.findall(data):
        if b"H4sI" not in run:
            continue
        start = run.index(b"H4sI")
        text = run[start:].translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        text = text[: len(text) - (len(text) % 4 == 1)]
        wrapped = base64.b64decode(text + b"=" * (-len(text) % 4))
        yield from (("gzip+base64", out) for out in _streams(wrapped))


def _streams(data: bytes) -> Iterator[bytes]:
    """Give the beginning of every gzip stream that can be read."""
    start = data.find(_GZIP_MAGIC)
    while start >= 0:
        try:
            out = zlib.decompressobj(31).decompress(data[start:], MAX_INFLATED)
        except zlib.error:
            out = b""
        if out:
            yield out
        start = data.find(_GZIP_MAGIC, start + 1)
