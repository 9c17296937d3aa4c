# ruff: noqa: PT012 - what breaks off may break at either call
"""Bytes in bounded pieces, with deadlines."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ringfence.gateway.wire import Wire, WireError

Story = Callable[[Wire, socket.socket], Awaitable[Any]]


async def wire_on(sock: socket.socket, idle: float) -> Wire:
    """Give a wire over a connected socket."""
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(lambda: Wire(idle=idle), sock=sock)
    return wire


def play(story: Story, idle: float = 5.0) -> Any:
    """Run a story between a wire and the raw other end."""

    async def main() -> Any:
        ours, theirs = socket.socketpair()
        with theirs:
            wire = await wire_on(ours, idle)
            try:
                async with asyncio.timeout(10):
                    return await story(wire, theirs)
            finally:
                wire.abort()
                await asyncio.sleep(0)

    return asyncio.run(main())


def test_heads_lines_and_pieces() -> None:
    """Each takes its own and leaves the rest."""

    async def story(wire: Wire, far: socket.socket) -> None:
        far.sendall(b"GET /\r\nA: b\r\n\r\nline\r\nrest")
        assert await wire.head(100, 5) == b"GET /\r\nA: b\r\n\r\n"
        assert await wire.line(10) == b"line"
        assert await wire.peek(4) == b"rest"
        assert wire.early
        assert await wire.read(2) == b"re"
        far.shutdown(socket.SHUT_WR)
        assert await wire.read(9) == b"st"
        assert await wire.read(9) == b""
        assert await wire.head(100, 5) == b""
        assert await wire.peek(1) == b""
        assert wire.stale()

    play(story)


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"a" * 200, ValueError), (b"a\nb", ValueError), (b"cut", WireError)],
)
def test_bad_heads(data: bytes, error: type[Exception]) -> None:
    """Too long, a bare line feed, cut off."""

    async def story(wire: Wire, far: socket.socket) -> None:
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(error):
            await wire.head(100, 5)

    play(story)


def test_silence_and_slowness_have_an_end() -> None:
    """Between two bytes, and for a whole head."""

    async def silent(wire: Wire, far: socket.socket) -> None:
        with pytest.raises(WireError, match="silent"):
            await wire.read(1)

    play(silent, idle=0.01)

    async def slow(wire: Wire, far: socket.socket) -> None:
        far.sendall(b"G")
        with pytest.raises(WireError, match="slowly"):
            await wire.head(100, 0.01)

    play(slow)

    async def deaf(wire: Wire, far: socket.socket) -> None:
        with pytest.raises(WireError, match="does not read"):
            while True:
                wire.write(bytes(1_000_000))
                await wire.drain()

    play(deaf, idle=0.05)


def test_an_idle_connection_that_speaks_is_stale() -> None:
    """A reply nobody asked for must not answer the next request."""

    async def story(wire: Wire, far: socket.socket) -> None:
        assert not wire.stale()
        far.sendall(b"HTTP/1.1 200 OK\r\n")
        await asyncio.sleep(0)
        while not wire.stale():
            pass

    play(story)


def test_a_broken_handshake_is_an_error() -> None:
    """Garbage, or a peer that goes away or says nothing."""
    context = ssl.create_default_context()

    async def garbage(wire: Wire, far: socket.socket) -> None:
        far.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            await wire.start_tls(context, server_name="a.test")

    async def gone(wire: Wire, far: socket.socket) -> None:
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(WireError, match="handshake"):
            await wire.start_tls(context, server_name="a.test")

    async def silent(wire: Wire, far: socket.socket) -> None:
        with pytest.raises(WireError, match="silent"):
            await wire.start_tls(context, server_name="a.test")

    play(garbage)
    play(gone)
    play(silent, idle=0.05)


def test_a_broken_connection_is_told() -> None:
    """In the words of this module, not of the operating system."""

    async def story(wire: Wire, far: socket.socket) -> None:
        far.close()
        with pytest.raises(WireError):
            for _ in range(100):
                wire.write(b"x" * 100_000)
                await wire.drain()
                await asyncio.sleep(0)

    play(story)


def test_saying_goodbye_to_a_peer_that_reset_is_harmless() -> None:
    """The reset may come between our last read and our close."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            far = socket.create_connection(server.getsockname())
            near, _ = server.accept()
            wire = await wire_on(near, 5)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
            with pytest.raises(OSError, match="not connected"):
                near.shutdown(socket.SHUT_WR)
            wire.close()
            await asyncio.sleep(0)

    asyncio.run(main())
