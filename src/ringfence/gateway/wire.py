"""One connection, plain or TLS, read in bounded pieces.

Invariants:
1. Memory per connection is bounded: beyond `_HIGH` unread bytes nothing more is taken from the
   peer, and writers wait in `drain`.
2. TLS runs over memory BIOs, so that the first bytes can be looked at before the handshake and
   nothing sent early is lost or taken for something else.
3. No read and no drain waits longer than ``idle`` seconds.

It is an asyncio protocol of its own rather than a pair of streams, with one timer for all its
deadlines: streams and a time-out object for every wait took a third of the broker's time. It knows
neither HTTP nor policy.
"""

import asyncio
import contextlib
import re
import select
import ssl
from collections.abc import Callable
from typing import Final, cast

_PIECE = 65_536
_HIGH = 131_072  # more than any head, line or hello that is waited for
_BARE_LF = re.compile(rb"(?<!\r)\n")
# What the kernel gives is copied out before the loop turns to another connection, so one serves
# all. The size is what asyncio itself asks for.
_SCRATCH: Final = memoryview(bytearray(262_144))
_SILENT = "the peer is silent"
_SLOW = "the head came too slowly"
_DEAF = "the peer does not read"
_BROKE = "the connection broke"


class WireError(Exception):
    """The peer closed, stalled, or sent what cannot be read; the connection is of no more use."""


class Wire(asyncio.BufferedProtocol):
    """A connection as pieces of bytes. ``opened`` is called when it stands."""

    __slots__ = (
        "_broken", "_buffer", "_drained", "_drained_due", "_eof", "_filled", "_filled_due",
        "_full", "_head_due", "_in", "_loop", "_lost", "_opened", "_out", "_paused", "_probe",
        "_timer", "_tls", "_transport", "idle",
    )  # fmt: skip
    _transport: asyncio.Transport

    def __init__(self, *, idle: float, opened: Callable[["Wire"], None] | None = None) -> None:
        self.idle = idle
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._eof = False  # the peer sends no more
        self._lost = False  # the transport is gone
        self._broken = ""  # why nothing more can be read
        self._paused = False  # we do not read
        self._full = False  # the peer does not read
        self._tls: ssl.SSLObject | None = None
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._filled: asyncio.Future[str] | None = None
        self._filled_due = 0.0
        self._head_due: float | None = None
        self._drained: asyncio.Future[str] | None = None
        self._drained_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._probe: select.poll | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # what a stream socket gives
        if self._opened is not None:
            opened, self._opened = self._opened, None
            opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Lend the place for what comes next."""
        return _SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        if self._tls is None:
            self._buffer += _SCRATCH[:nbytes]
        else:
            self._in.write(_SCRATCH[:nbytes])
            self._take()
        if len(self._buffer) > _HIGH and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        if self._buffer or self._eof or self._broken:
            self._wake(self._filled)

    def eof_received(self) -> bool:
        """Take the end of what the peer sends; our side stays open."""
        if self._tls is not None:
            self._in.write_eof()
            self._take()
        self._eof = True
        self._wake(self._filled)
        return True

    def pause_writing(self) -> None:
        """Learn that the peer does not keep up."""
        self._full = True

    def resume_writing(self) -> None:
        """Learn that it has caught up."""
        self._full = False
        self._wake(self._drained)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the transport."""
        self._lost = self._eof = True
        if exc is not None and not self._broken:
            self._broken = _BROKE
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake(self._filled)
        self._wake(self._drained)

    # Waiting.

    @staticmethod
    def _wake(waiter: "asyncio.Future[str] | None", why: str = "") -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(why)

    def _arm(self, due: float) -> None:
        """Have `_tick` called by then; a timer that stands already is late by nothing."""
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        """End the waits whose time is up, and stand ready for those whose time is not."""
        self._timer = None
        now = self._loop.time()
        slow = self._head_due is not None
        for waiter, due, why in (
            (self._filled, self._filled_due, _SLOW if slow else _SILENT),
            (self._drained, self._drained_due, _DEAF),
        ):
            if waiter is None:
                continue
            if due <= now:
                self._wake(waiter, why)
            else:
                self._arm(due)

    async def _fill(self) -> bool:
        """Wait until more has come than there is; False at the end. Raises WireError."""
        size = len(self._buffer)
        while len(self._buffer) == size:
            if self._broken:
                raise WireError(self._broken)
            if self._eof:
                return False
            self._resume()
            due = self._loop.time() + self.idle
            if self._head_due is not None:
                due = min(due, self._head_due)
            self._filled_due = due
            self._arm(due)
            self._filled = self._loop.create_future()
            try:
                why = await self._filled
            finally:
                self._filled = None
            if why:
                raise WireError(why)
        return True

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    async def drain(self) -> None:
        """Wait until little is queued. Raises WireError."""
        if self._full and not self._lost:
            self._drained_due = self._loop.time() + self.idle
            self._arm(self._drained_due)
            self._drained = self._loop.create_future()
            try:
                why = await self._drained
            finally:
                self._drained = None
            if why:
                raise WireError(why)
        if self._lost:
            raise WireError(_BROKE)

    # Reading.

    @property
    def early(self) -> bool:
        """Say whether bytes are waiting to be read."""
        return bool(self._buffer)

    def stale(self) -> bool:
        """Say whether an idle connection has closed or spoken out of turn, as far as is known."""
        if self._buffer or self._eof or self._broken or self._transport.is_closing():
            return True
        if self._probe is None:
            self._probe = select.poll()
            self._probe.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._probe.poll(0))

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
                # To ask again for nothing costs an exception; part of a record is no data either.
                if not (self._in.pending or tls.pending()):
                    break
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._eof = True
        except ssl.SSLError:
            self._broken = "the TLS connection broke"
        self._flush()

    def _flush(self) -> None:
        if self._out.pending:
            self._transport.write(self._out.read())

    async def head(self, limit: int, seconds: float) -> bytes:
        """Read up to and with an empty line; nothing when the peer closed before the first byte.

        Raises WireError when it is longer than ``limit``, slower than ``seconds`` after its first
        byte, or cut off; ValueError for a bare line feed.
        """
        if not self._buffer and not await self._fill():
            return b""
        if (at := self._buffer.find(b"\r\n\r\n", 0, limit)) >= 0:
            return self._cut(at + 4)
        self._head_due = self._loop.time() + seconds
        try:
            return await self._until(b"\r\n\r\n", limit)
        finally:
            self._head_due = None

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
        buffer = self._buffer
        if len(buffer) <= most:
            piece = bytes(buffer)
            buffer.clear()
        else:
            piece = bytes(buffer[:most])
            del buffer[:most]
        return piece

    # TLS and writing.

    async def start_tls(
        self, context: ssl.SSLContext, *, server_name: str | None = None
    ) -> ssl.SSLObject:
        """Speak TLS from here on: as the client toward ``server_name``, else as the server.

        Bytes already read are taken as the peer's first TLS bytes. Raises WireError when the
        peer goes away and ssl.SSLError when the handshake fails.
        """
        tls = context.wrap_bio(
            self._in, self._out, server_side=server_name is None, server_hostname=server_name
        )
        while True:
            self._in.write(self._cut(_HIGH * 4))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                self._flush()  # the alert tells the peer why
                raise
            if not await self._fill():
                raise WireError("the peer closed during the TLS handshake")
        self._flush()
        self._tls = tls
        self._take()
        return tls

    def write(self, data: bytes) -> None:
        """Queue bytes; `drain` waits for them. Raises WireError once TLS has broken."""
        if self._tls is None:
            self._transport.write(data)
            return
        try:
            done = self._tls.write(data) if data else 0
            while done < len(data):  # one record at a time
                done += self._tls.write(memoryview(data)[done:])
        except ssl.SSLError as error:
            raise WireError("the TLS connection broke") from error
        self._flush()

    def finish(self) -> None:
        """Say that nothing more will be sent; reading goes on."""
        if self._transport.is_closing():
            return
        if self._tls is not None:
            # The peer need not answer; a broken session has nothing to say goodbye to.
            with contextlib.suppress(ssl.SSLError, ValueError):
                self._tls.unwrap()
            self._flush()
        # The peer may have reset the connection a moment ago.
        with contextlib.suppress(OSError):
            self._transport.write_eof()

    def close(self) -> None:
        """Close once everything queued is sent."""
        self.finish()
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()
