"""Find known byte strings in a stream, in the forms programs write them, and mask them.

Invariants:
1. A form is found wherever the stream is cut into pieces: a tail that may be the beginning of a
   form is held back, and nothing else is.
2. A mask is as long as what it hides, so lengths stay true.
3. Held bytes are bounded by twice the longest form.

It cannot find a value that was split, reversed, encrypted, compressed or encoded twice.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping

from ringfence.gateway.head import Headers

_MASK = b"*"
_SHORTEST_DERIVED = 6  # a shorter derived form would hit innocent text
_HEAD = 4  # bytes by which possible beginnings are found
_LITTLE = 512  # bytes


def forms(value: bytes) -> tuple[bytes, ...]:
    """Give the ways a value is commonly written, itself first, without repetition.

    Base64 in both alphabets at all three alignments, URL- and JSON-escaped, hexadecimal. Not
    `checks.output.encodings.forms`: its forms have lost their blanks, refuse values under four or
    over 16384 bytes, and a mask of true length has to find the literal bytes of any value.
    """
    derived: list[bytes] = []
    for shift in range(3):
        padded = bytes(shift) + value
        begin, end = -(-8 * shift // 6), 8 * len(padded) // 6
        derived.append(base64.b64encode(padded)[begin:end])
        derived.append(base64.urlsafe_b64encode(padded)[begin:end])
    derived += [value.hex().encode(), value.hex().upper().encode()]
    derived += _url_forms(value)
    derived += _json_forms(value)
    kept = [form for form in derived if len(form) >= _SHORTEST_DERIVED]
    return tuple(dict.fromkeys([value, *kept]))


def _url_forms(value: bytes) -> list[bytes]:
    """Escape as strict, lenient and total encoders do, in both hex cases."""
    strict = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
    found = [
        b"".join(bytes([c]) if c in safe else code % c for c in value)
        for safe in (strict, strict | frozenset(b"/"), frozenset[int]())
        for code in (b"%%%02X", b"%%%02x")
    ]
    found.append(found[0].replace(b"%20", b"+"))
    return found


def _json_forms(value: bytes) -> list[bytes]:
    """Escape as JSON writers do; values that are not UTF-8 have no JSON form."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return []
    plain = [json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    slashed = [item.replace("/", "\\/") for item in plain]
    every = ["".join(code % ord(c) for c in text) for code in ("\\u%04x", "\\u%04X")]
    return [item.encode("utf-8") for item in (*plain, *slashed, *every)]


class Needles:
    """Byte strings to look for, each under the name of what it belongs to."""

    __slots__ = ("_beginnings", "_folded", "_glance", "_least", "_short", "longest", "names")

    def __init__(self, values: Iterable[tuple[str, bytes]]) -> None:
        self.names: Mapping[bytes, str] = {
            form: name for name, value in values if value for form in forms(value)
        }
        # A form that holds another is found when the other is.
        self._least = tuple(
            form
            for form in self.names
            if not any(other in form for other in self.names if other != form)
        )
        heads = sorted({form[:_HEAD] for form in self._least})
        self._glance = re.compile(b"|".join(re.escape(head) for head in heads))
        self.longest = max((len(form) for form in self.names), default=0)
        beginnings: dict[bytes, list[bytes]] = {}
        short: set[bytes] = set()
        for form in self.names:
            if len(form) > _HEAD:
                beginnings.setdefault(form[:_HEAD], []).append(form)
            short.update(form[:size] for size in range(1, min(_HEAD, len(form))))
        self._beginnings = beginnings
        self._short = frozenset(short)
        self._folded = tuple({form.lower() for form in self._least})

    def __bool__(self) -> bool:
        return bool(self.names)

    def find(self, data: bytes) -> str | None:
        """Give the name of a needle that is in the data, or None."""
        if not self.hit(data):
            return None
        return next(name for form, name in self.names.items() if form in data)

    def hit(self, data: bytes) -> bool:
        """Say whether a needle is in the data."""
        # In little data one look for all beginnings is faster than one for each form.
        if len(data) < _LITTLE and self._glance.search(data) is None:
            return False
        for form in self._least:  # noqa: SIM110 - `any` takes twice as long
            if form in data:
                return True
        return False

    def find_folded(self, data: bytes) -> bool:
        """Say whether lower-case data holds a needle but for its letter case."""
        for form in self._folded:  # noqa: SIM110 - as above
            if form in data:
                return True
        return False

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Give where needles are, overlapping ones joined, in order."""
        found: list[tuple[int, int]] = []
        if not self.hit(data):
            return found
        for form in self.names:
            at = data.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = data.find(form, at + 1)
        found.sort()
        joined: list[tuple[int, int]] = []
        for begin, end in found:
            if joined and begin < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((begin, end))
        return joined

    def unfinished(self, data: bytes) -> int:
        """Give the length of the longest tail that may be the beginning of a needle."""
        offset = max(0, len(data) - self.longest + 1)
        tail = data[offset:]
        first = len(tail)
        for head, candidates in self._beginnings.items():
            at = tail.find(head)
            while 0 <= at < first:
                rest = tail[at:]
                if any(len(form) > len(rest) and form.startswith(rest) for form in candidates):
                    first = at
                at = tail.find(head, at + 1)
        if first < len(tail):
            return len(tail) - first
        for size in range(min(_HEAD - 1, len(tail)), 0, -1):
            if tail[-size:] in self._short:
                return size
        return 0


class Redactor:
    """Mask needles in one stream; counts how many."""

    __slots__ = ("_held", "_needles", "count")

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self._held = b""
        self.count = 0

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece; give what may be sent on, possibly nothing yet."""
        data = self._held + piece if self._held else piece
        spans = self._needles.spans(data)
        cut = len(data) - self._needles.unfinished(data)
        for begin, end in spans:
            if begin < cut < end:
                # The tail may begin a longer needle that overlaps this one: wait for both, but
                # not for ever (a periodic value would never end).
                cut = begin if len(data) - begin <= 2 * self._needles.longest else end
        self._held = data[cut:]
        return self._masked(data[:cut], [span for span in spans if span[1] <= cut])

    def last(self, piece: bytes) -> bytes:
        """Take the last piece; give it with what was held back."""
        data, self._held = self._held + piece, b""
        return self._masked(data, self._needles.spans(data))

    def headers(self, headers: Headers) -> Headers:
        """Mask needles in header values."""
        if not self._needles.hit("\n".join([value for _, value in headers]).encode("latin-1")):
            return headers
        return tuple((name, self.text(value)) for name, value in headers)

    def text(self, text: str) -> str:
        """Mask needles in one whole header value or path."""
        data = text.encode("latin-1")
        spans = self._needles.spans(data)
        return self._masked(data, spans).decode("latin-1") if spans else text

    def _masked(self, data: bytes, spans: list[tuple[int, int]]) -> bytes:
        if not spans:
            return data
        self.count += len(spans)
        out = bytearray(data)
        for begin, end in spans:
            out[begin:end] = _MASK * (end - begin)
        return bytes(out)


class Watch:
    """Look for needles in one stream without changing it."""

    __slots__ = ("_needles", "_tail")

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self._tail = b""

    def feed(self, piece: bytes) -> str | None:
        """Take the next piece; give the name of a needle that ends in it, or None."""
        if not self._needles:
            return None
        data = self._tail + piece
        keep = self._needles.longest - 1
        self._tail = data[-keep:] if keep else b""
        return self._needles.find(data)
