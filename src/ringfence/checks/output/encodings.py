"""The byte forms in which a known value may turn up in an output.

Invariants:
1. Every form is fully determined by the value: of an encoding that works on groups of bytes
   (base64, base32) only the characters no neighbouring byte can change are kept.
2. Forms hold no blank (space, tab, CR, LF, NUL): the scrubber looks through blanks, so wrapped
   base64, spaced hex dumps, terminal line breaks and UTF-16 need no forms of their own.
3. No form but the raw one is shorter than `SHORTEST_FORM`.

Not covered, and said so in docs/rooms/checks.md: encryption, paraphrase, interleaving other
characters, encoding twice, compression together with other bytes in front.
"""

import base64
import html
import json
import zlib
from collections.abc import Iterator

from ringfence.chain.errors import InputError

BLANKS = b" \t\r\n\0"

# A shorter value occurs by chance in ordinary text: redacting it would destroy outputs.
SHORTEST_VALUE = 4
# Six characters of base64 are 36 bits: one chance hit in 60 GB of random text.
SHORTEST_FORM = 6
# Bounds the matcher's memory (about 100 bytes for each byte of each form).
LONGEST_VALUE = 16 * 1024
# Above this only the forms that tools produce by default are made: 15 bytes a byte, not 55.
LONGEST_FULL = 512

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
# What common encoders leave as it is: RFC 3986, Python, encodeURIComponent, encodeURI, nothing.
_SAFE_SETS = tuple(
    frozenset(safe)
    for safe in (
        _UNRESERVED,
        _UNRESERVED + b"/",
        _UNRESERVED + b"!'()*",
        _UNRESERVED + b"!'()*;,/?:@&=+$#",
        b"",
    )
)


def forms(value: bytes) -> tuple[bytes, ...]:
    """Give every form of the value, without duplicates, the raw one first.

    Raises InputError for a value shorter than 4 bytes (blanks not counted) or over 16 KiB.
    """
    return tuple(form for form, _ in named_forms(value))


def named_forms(value: bytes) -> tuple[tuple[bytes, str], ...]:
    """Give (form, name of its encoding) pairs; limits and errors as for `forms`."""
    raw = squeeze(value)
    if len(raw) < SHORTEST_VALUE:
        raise InputError(
            "value-too-short",
            f"a secret shorter than {SHORTEST_VALUE} bytes cannot be kept out of outputs",
            hint="use a longer secret",
        )
    if len(value) > LONGEST_VALUE:
        raise InputError(
            "value-too-long",
            f"a secret over {LONGEST_VALUE} bytes cannot be kept out of outputs",
            hint="split it, or store a key that opens it",
        )
    found: dict[bytes, str] = {raw: "raw"}
    candidates = _full(value) if len(value) <= LONGEST_FULL else _compact(value)
    for form, name in candidates:
        squeezed = squeeze(form)
        if len(squeezed) >= SHORTEST_FORM:
            found.setdefault(squeezed, name)
    return tuple(found.items())


def squeeze(data: bytes) -> bytes:
    """Give the data without its blanks."""
    return data.translate(None, BLANKS)


def _compact(value: bytes) -> Iterator[tuple[bytes, str]]:
    for aligned in _base64(value):
        yield aligned, "base64"
    yield value.hex().encode(), "hex"
    yield value.hex().upper().encode(), "hex"
    for escaped in _json_escaped(value):
        yield escaped, "json"


def _full(value: bytes) -> Iterator[tuple[bytes, str]]:
    yield from _compact(value)
    yield value[::-1], "reversed"
    for safe in _SAFE_SETS:
        for digits in (b"%%%02X", b"%%%02x"):
            yield _percent(value, digits, safe), "percent"
    text = value.decode("utf-8", "surrogateescape")
    for quote in ("'", "&#x27;", "&#39;"):
        named = html.escape(text, quote=False).replace("'", quote)
        yield named.encode("utf-8", "surrogateescape"), "html"
        yield named.replace('"', "&quot;").encode("utf-8", "surrogateescape"), "html"
    yield b"".join(b"&#%d;" % byte for byte in value), "html"
    yield b"".join(b"&#x%x;" % byte for byte in value), "html"
    yield b"".join(b"&#x%X;" % byte for byte in value), "html"
    yield b"".join(b"\\x%02x" % byte for byte in value), "escaped"
    yield b"".join(b"\\u%04x" % byte for byte in value), "escaped"
    for aligned in _base32(value):
        yield aligned, "base32"
        yield aligned.lower(), "base32"
    body = _deflated(value)
    yield body, "deflate"
    yield body.hex().encode(), "deflate"
    for aligned in _base64(body):
        yield aligned, "deflate"


def _base64(value: bytes) -> Iterator[bytes]:
    for before in range(3):
        # Character i holds bits 6i..6i+5: keep those that lie wholly inside the value (RFC 4648).
        first = -(-before * 8 // 6)
        last = (before + len(value)) * 8 // 6
        padded = bytes(before) + value
        yield base64.b64encode(padded)[first:last]
        yield base64.urlsafe_b64encode(padded)[first:last]


def _base32(value: bytes) -> Iterator[bytes]:
    for before in range(5):
        first = -(-before * 8 // 5)
        last = (before + len(value)) * 8 // 5
        yield base64.b32encode(bytes(before) + value)[first:last]


def _percent(value: bytes, digits: bytes, safe: frozenset[int]) -> bytes:
    return b"".join(bytes([byte]) if byte in safe else digits % byte for byte in value)


def _json_escaped(value: bytes) -> Iterator[bytes]:
    text = value.decode("utf-8", "surrogateescape")
    for ascii_only in (True, False):
        inner = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield inner.encode("utf-8", "surrogateescape")
        yield inner.replace("/", "\\/").encode("utf-8", "surrogateescape")


def _deflated(value: bytes) -> bytes:
    """Give the part of a deflate stream (gzip, zlib, zip) that starts with the value."""
    packer = zlib.compressobj(wbits=-15)
    stream = packer.compress(value) + packer.flush()
    # The last bytes hold the end-of-block code, which moves when something follows the value.
    return stream[:-2]
