"""One connection, plain or TLS, read in bounded pieces.

Invariants:
1. Memory per connection is bounded: reads take at most what is asked for, writers wait in `drain`.
2. TLS runs over memory BIOs, so that the first bytes can be looked at before the handshake and
   nothing sent early is lost or taken for something else.
3. No read waits longer than ``idle`` seconds.

It knows neither HTTP nor policy.
"""

import asyncio
import contextlib
import re
import ssl

_PIECE = 65_536
_BARE_LF = re.compile(rb"(?<!\r)\n")


class WireError(Exception):
    """The peer closed, stalled, or sent what cannot be read; the connection is of no more use."""


class Wire:
    """A connection as pieces of bytes."""

    __slots__ = ("_buffer", "_eof", "_in", "_out", "_reader", "_tls", "_writer", "idle")

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, idle: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._eof = False
        self._tls: ssl.SSLObject | None = None
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self.idle = idle

    @property
    def early(self) -> bool:
        """Say whether bytes are waiting to be read."""
        return bool(self._buffer)

    async def stale(self) -> bool:
        """Say whether an idle connection has closed or spoken out of turn."""
        try:
            async with asyncio.timeout(0):
                await self._fill()
        except TimeoutError:
            return bool(self._buffer)
        except WireError:
            return True
        return True

    async def _fill(self) -> bool:
        """Read what comes next into the buffer; False at the end."""
        if self._eof:
            return False
        size = len(self._buffer)
        while len(self._buffer) == size:
            try:
                async with asyncio.timeout(self.idle):
                    data = await self._reader.read(_PIECE)
            except TimeoutError:
                raise WireError("the peer is silent") from None
            except OSError as error:
                raise WireError("the connection broke") from error
            if self._tls is None:
                self._buffer += data
                self._eof = not data
            else:
                self._decrypt(data)
            if self._eof:
                break
        return len(self._buffer) > size

    def _decrypt(self, data: bytes) -> None:
        """Hand TLS bytes to the TLS object and take what it gives."""
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        self._take()

    def _take(self) -> None:
        """Move what TLS has decrypted into the buffer."""
        tls = self._tls
        try:
            while tls is not None:
                piece = tls.read(_PIECE)
                if not piece:
                    self._eof = True
                    return
                self._buffer += piece
        except ssl.SSLWantReadError:
            self._flush()
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._eof = True
        except ssl.SSLError as error:
            raise WireError("the TLS connection broke") from error

    def _flush(self) -> None:
        if self._out.pending:
            self._writer.write(self._out.read())

    async def head(self, limit: int, seconds: float) -> bytes:
        """Read up to and with an empty line; nothing when the peer closed before the first byte.

        Raises WireError when it is longer than ``limit``, slower than ``seconds`` after its first
        byte, or cut off; ValueError for a bare line feed.
        """
        if not self._buffer and not await self._fill():
            return b""
        try:
            async with asyncio.timeout(seconds):
                return await self._until(b"\r\n\r\n", limit)
        except TimeoutError:
            raise WireError("the head came too slowly") from None

    async def _until(self, end: bytes, limit: int) -> bytes:
        start = 0
        while (at := self._buffer.find(end, start, limit)) < 0:
            if len(self._buffer) >= limit:
                raise ValueError("a head or line is too long")
            if _BARE_LF.search(self._buffer, start):
                raise ValueError("a bare line feed")
            start = max(0, len(self._buffer) - len(end) + 1)
            if not await self._fill():
                raise WireError("the connection ended inside a head or line")
        return self._cut(at + len(end))

    async def line(self, limit: int) -> bytes:
        """Read one line and give it without its CRLF. Raises as `head` does."""
        return (await self._until(b"\r\n", limit))[:-2]

    async def read(self, most: int) -> bytes:
        """Read 1 to ``most`` bytes; nothing at the end. Raises WireError."""
        if not self._buffer and not await self._fill():
            return b""
        return self._cut(most)

    async def peek(self, least: int) -> bytes:
        """Look at what has come, once it is at least that much or the peer closed."""
        while len(self._buffer) < least and await self._fill():
            pass
        return bytes(self._buffer)

    def _cut(self, most: int) -> bytes:
        piece = bytes(self._buffer[:most])
        del self._buffer[:most]
        return piece

    async def start_tls(
        self, context: ssl.SSLContext, *, server_name: str | None = None
    ) -> ssl.SSLObject:
        """Speak TLS from here on: as the client toward ``server_name``, else as the server.

        Bytes already read are taken as the peer's first TLS bytes. Raises WireError when the
        peer goes away and ssl.SSLError when the handshake fails.
        """
        self._in.write(self._cut(len(self._buffer)))
        tls = context.wrap_bio(
            self._in, self._out, server_side=server_name is None, server_hostname=server_name
        )
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                self._flush()  # the alert tells the peer why
                raise
            self._in.write(await self._handshake_bytes())
        self._flush()
        self._tls = tls
        self._take()
        return tls

    async def _handshake_bytes(self) -> bytes:
        try:
            async with asyncio.timeout(self.idle):
                data = await self._reader.read(_PIECE)
        except TimeoutError:
            raise WireError("the peer is silent") from None
        except OSError as error:
            raise WireError("the connection broke") from error
        if not data:
            raise WireError("the peer closed during the TLS handshake")
        return data

    def write(self, data: bytes) -> None:
        """Queue bytes; `drain` waits for them. Raises WireError once TLS has broken."""
        if self._tls is None:
            self._writer.write(data)
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            raise WireError("the TLS connection broke") from error
        self._flush()

    async def drain(self) -> None:
        """Wait until little is queued. Raises WireError."""
        try:
            async with asyncio.timeout(self.idle):
                await self._writer.drain()
        except TimeoutError:
            raise WireError("the peer does not read") from None
        except OSError as error:
            raise WireError("the connection broke") from error

    def finish(self) -> None:
        """Say that nothing more will be sent; reading goes on."""
        if self._tls is not None and not self._writer.is_closing():
            # The peer need not answer; a broken session has nothing to say goodbye to.
            with contextlib.suppress(ssl.SSLError, ValueError):
                self._tls.unwrap()
            self._flush()
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()

    def close(self) -> None:
        """Close once everything queued is sent."""
        self.finish()
        self._writer.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._writer.transport.abort()
