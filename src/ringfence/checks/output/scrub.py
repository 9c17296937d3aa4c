"""Replace every form of every known value by ``[redacted:NAME]``, in whole data or in a stream.

Invariants:
1. How a stream is cut into chunks never changes what comes out.
2. Once a byte is given out, it is certain that it belongs to no occurrence of a known form.
3. Overlapping occurrences are removed as one: nothing of either stays.
4. Time is linear in the data; what is held back is bounded by the longest form.

Blanks between the characters of a form do not hide it (see `encodings`), unless more than
`LONGEST_GAP` of them stand together. Limits of the method are in docs/rooms/checks.md.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.checks.finding import Finding, Severity
from ringfence.checks.output.encodings import BLANKS
from ringfence.checks.output.known_values import ANCHOR, Automaton, Form, KnownValue

# Bounds what an agent can make us hold back by printing half a secret and then only blanks.
LONGEST_GAP = 256
# Placing a hit lists where every byte of a piece stands: 36 bytes a byte, so pieces stay small.
LARGEST_PIECE = 64 * 1024

_KEPT = re.compile(rb"[^ \t\r\n\0]")
_LONG_GAP = re.compile(rb"[ \t\r\n\0]{%d,}" % LONGEST_GAP)
_BLANK_SET = frozenset(BLANKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubbed:
    """Clean data and what was taken out of it."""

    data: bytes
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hit:
    """One occurrence, counted in kept (non-blank) bytes since the start of the stream."""

    start: int
    end: int
    name: str


class Scrubber:
    """Know the values of one run. Make it once: building costs about 2 ms a value."""

    __slots__ = ("_automaton",)

    def __init__(self, values: Sequence[KnownValue]) -> None:
        """Build for the values. Raises InputError for one too short or too long to look for."""
        self._automaton = Automaton(values)

    def scrub(self, data: bytes) -> Scrubbed:
        """Give the data without any form of a known value."""
        stream = self.stream()
        clean = stream.feed(data) + stream.finish()
        return Scrubbed(data=clean, findings=stream.findings)

    def stream(self) -> "StreamScrubber":
        """Start on a new stream."""
        return StreamScrubber(self._automaton)


class StreamScrubber:
    """Scrub one stream chunk by chunk; `finish` gives what was still held back."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._state = 0
        self._held = bytearray()
        self._held_from = 0  # offset of the held bytes in the stream
        self._first = 0  # number of the first kept (non-blank) byte in ``_held``
        self._count = 0  # kept bytes seen so far
        self._blanks = 0  # blanks at the end of what was seen
        self._fresh = 0  # bytes taken since the last release
        self._covered = 0  # kept bytes below this number belong to an announced occurrence
        self._hits: deque[_Hit] = deque()
        self._unplaced: list[tuple[int, Form]] = []
        self._places: dict[tuple[str, str], int] = {}
        self._counts: dict[tuple[str, str], int] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Give one finding for each value and encoding met so far; complete after `finish`."""
        return tuple(
            Finding(
                check="known-value",
                severity=Severity.CRITICAL,
                message=f"the secret {name!r} was in the output ({encoding}, {count}x)",
                where=self._places.get((name, encoding)),
                detail={"kind": encoding, "name": name, "count": count},
            )
            for (name, encoding), count in self._counts.items()
        )

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and give those that are now certain to be clean."""
        if self._automaton.anchor is None:
            return bytes(chunk)
        pieces = range(0, len(chunk), LARGEST_PIECE)
        return b"".join(self._feed(chunk[at : at + LARGEST_PIECE]) for at in pieces)

    def _feed(self, chunk: bytes) -> bytes:
        clean = bytearray()
        at = 0
        lead = len(chunk) - len(chunk.lstrip(BLANKS))
        if self._blanks + lead >= LONGEST_GAP:
            clean += self._release(everything=True)
        for gap in _LONG_GAP.finditer(chunk):
            clean += self._take(chunk[at : gap.start()])
            clean += self._release(everything=True)
            at = gap.start()
        clean += self._take(chunk[at:])
        trail = len(chunk) - len(chunk.rstrip(BLANKS))
        self._blanks = self._blanks + trail if trail == len(chunk) else trail
        return bytes(clean)

    def finish(self) -> bytes:
        """Give the rest: at the end of the stream half a secret is not a secret."""
        return self._release(everything=True)

    def _take(self, piece: bytes) -> bytes:
        rest = len(self._held) - self._fresh
        self._held += piece
        self._fresh += len(piece)
        self._scan(piece.translate(None, BLANKS))
        # A release looks at all that is held; waiting for as much again keeps the sum linear
        # when an agent writes half a secret and then goes on byte by byte.
        if self._automaton.depth[self._state] and self._fresh < rest:
            return b""
        return self._release()

    def _scan(self, data: bytes) -> None:
        """Run the automaton over the kept bytes and note where forms end."""
        table, fail = self._automaton.table, self._automaton.fail
        endings, anchor = self._automaton.endings, self._automaton.anchor
        state, base, size, at = self._state, self._count, len(data), 0
        while at < size:
            if state == 0 and anchor is not None:
                found = anchor.search(data, at)
                at = found.start() if found else max(at, size - ANCHOR + 1)
            byte = data[at]
            after = table.get(state << 8 | byte)
            while after is None and state:
                state = fail[state]
                after = table.get(state << 8 | byte)
            state = after or 0
            at += 1
            if endings[state]:
                self._note(base + at, endings[state])
        self._state = state
        self._count = base + size

    def _note(self, end: int, ending: tuple[Form, ...]) -> None:
        """Add an occurrence that ends at kept byte ``end``, merging it into what it overlaps."""
        for form in ending:
            key = (form.name, form.encoding)
            self._counts[key] = self._counts.get(key, 0) + 1
            if self._counts[key] == 1:
                self._unplaced.append((end - form.length, form))
        start, name = end - ending[0].length, ending[0].name
        hits = self._hits
        while hits and hits[-1].start >= start:
            hits.pop()
        if hits and hits[-1].end > start:
            start, name = hits[-1].start, hits[-1].name
            hits.pop()
        hits.append(_Hit(start=start, end=end, name=name))

    def _release(self, *, everything: bool = False) -> bytes:
        """Give out what no occurrence can reach any more; ``everything`` forgets partial ones."""
        if everything:
            self._state = 0
        pending = self._automaton.depth[self._state]
        limit = self._count - pending
        cut = self._cut(pending)
        out = bytearray()
        at = 0
        if self._hits or self._covered > self._first:
            places = [m.start() for m in _KEPT.finditer(self._held)]
            at = self._after(places, min(self._covered, limit))
            while self._hits and self._hits[0].start < limit:
                hit = self._hits.popleft()
                if hit.start >= self._covered:
                    out += self._held[at : places[hit.start - self._first]]
                    out += b"[redacted:" + hit.name.encode() + b"]"
                self._covered = max(self._covered, hit.end)
                at = self._after(places, min(self._covered, limit))
            self._place(places, limit)
        if self._covered <= limit:
            out += self._held[at:cut]
        del self._held[:cut]
        self._held_from += cut
        self._first = limit
        self._fresh = 0
        return bytes(out)

    def _place(self, places: list[int], limit: int) -> None:
        """Turn the start of each first occurrence into its offset in the stream."""
        for start, form in self._unplaced:
            if start < limit:
                offset = self._held_from + places[start - self._first]
                self._places[(form.name, form.encoding)] = offset
        self._unplaced = [(start, form) for start, form in self._unplaced if start >= limit]

    def _after(self, places: list[int], number: int) -> int:
        """Give the index in ``_held`` just after the kept byte before ``number``."""
        return places[number - self._first - 1] + 1 if number > self._first else 0

    def _cut(self, pending: int) -> int:
        """Give the index in ``_held`` of the first of the last ``pending`` kept bytes."""
        at = len(self._held)
        while pending:
            at -= 1
            if self._held[at] not in _BLANK_SET:
                pending -= 1
        return at
