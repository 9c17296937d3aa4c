"""Bodies: read by exactly one framing, sent on re-framed.

Invariants:
1. A body ends where its head said or the connection is given up; nothing after it is touched.
2. Chunk extensions are dropped and trailers are read, checked and dropped.
"""

import re

from ringfence.gateway.head import Delimiter, Framing, parse_field
from ringfence.gateway.wire import Wire, WireError

_PIECE = 65_536
_LINE = 4_096  # bytes of a chunk-size line or trailer field
_TRAILERS = 64
# RFC 9112 section 7.1; the extension is bounded and dropped.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e]*)?\Z")


class Body:
    """A body that is read piece by piece."""

    __slots__ = ("_by", "_left", "_wire", "done")

    def __init__(self, wire: Wire, framing: Framing) -> None:
        self._wire = wire
        self._by = framing.by
        self._left = framing.length
        empty = framing.by is Delimiter.LENGTH and not framing.length
        self.done = empty or framing.by is Delimiter.NONE

    def ended(self) -> bool:
        """Say whether all of it has been read."""
        return self.done

    async def read(self) -> bytes:
        """Give the next piece, nothing at the end.

        Raises WireError when the body is cut off and ValueError when its chunks are malformed.
        """
        if self.done:
            return b""
        match self._by:
            case Delimiter.CHUNKED:
                return await self._chunk()
            case Delimiter.CLOSE:
                piece = await self._wire.read(_PIECE)
                self.done = not piece
                return piece
            case Delimiter.LENGTH | Delimiter.NONE:
                piece = await self._take()
                self.done = not self._left
                return piece

    async def _take(self) -> bytes:
        piece = await self._wire.read(min(self._left, _PIECE))
        if not piece and self._left:
            raise WireError("the body is cut off")
        self._left -= len(piece)
        return piece

    async def _chunk(self) -> bytes:
        if not self._left:
            match = _SIZE.match(await self._wire.line(_LINE))
            if not match:
                raise ValueError("a chunk size is malformed")
            self._left = int(match[1], 16)
            if not self._left:
                await self._trailers()
                self.done = True
                return b""
        piece = await self._take()
        if not self._left and await self._wire.line(2) != b"":
            raise ValueError("a chunk is longer than its size")
        return piece

    async def _trailers(self) -> None:
        for _ in range(_TRAILERS):
            line = await self._wire.line(_LINE)
            if not line:
                return
            parse_field(line)
        raise ValueError("too many trailers")


def chunk(piece: bytes) -> bytes:
    """Frame one non-empty piece as a chunk."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


LAST_CHUNK = b"0\r\n\r\n"
