# ruff: noqa: E501 - raw bodies read better in one piece
"""Bodies end where their head says."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.gateway.body import LAST_CHUNK, Body, chunk
from ringfence.gateway.head import NO_BODY, Delimiter, Framing
from ringfence.gateway.wire import Wire, WireError

CHUNKED = Framing(by=Delimiter.CHUNKED)


def read(data: bytes, framing: Framing) -> tuple[bytes, bytes]:
    """Read a body from a closed stream; give it and what is left."""

    async def run() -> tuple[bytes, bytes]:
        wire = Wire(idle=1)
        wire.get_buffer(-1)[: len(data)] = data
        wire.buffer_updated(len(data))
        wire.eof_received()
        body = Body(wire, framing)
        whole = b""
        while not body.ended():
            whole += await body.read()
        assert await body.read() == b""
        return whole, await wire.read(1_000_000)

    return asyncio.run(run())


def test_each_framing_takes_exactly_its_own() -> None:
    """What follows belongs to the next request."""
    assert read(b"abcdef", Framing(by=Delimiter.LENGTH, length=3)) == (b"abc", b"def")
    assert read(b"abc", Framing(by=Delimiter.LENGTH, length=0)) == (b"", b"abc")
    assert read(b"abc", NO_BODY) == (b"", b"abc")
    assert read(b"abc", Framing(by=Delimiter.CLOSE)) == (b"abc", b"")
    assert read(b"3\r\nabc\r\n0\r\n\r\nrest", CHUNKED) == (b"abc", b"rest")
    assert read(b"3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\nrest", CHUNKED) == (b"abc", b"rest")


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5))
def test_chunks_we_write_we_read(pieces: list[bytes]) -> None:
    """In the same order."""
    data = b"".join(chunk(piece) for piece in pieces) + LAST_CHUNK
    assert read(data, CHUNKED) == (b"".join(pieces), b"")


@pytest.mark.parametrize(
    "data",
    [b"3\nabc\n0\n\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"-1\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n",
     b" 3\r\nabc\r\n0\r\n\r\n", b"\r\nabc\r\n", b"g\r\n", b"3;\0\r\nabc\r\n0\r\n\r\n", b"+3\r\nabc\r\n",
     b"1" * 16 + b"\r\n", b"3\r\nabc\r\n0\r\nno colon\r\n\r\n", b"0\r\n" + b"a: b\r\n" * 65 + b"\r\n",
     b"3;" + b"x" * 5000 + b"\r\nabc\r\n"],
)  # fmt: skip
def test_malformed_chunks_are_refused(data: bytes) -> None:
    """Whatever another reader could frame differently."""
    with pytest.raises(ValueError, match=r"\S"):
        read(data, CHUNKED)


@pytest.mark.parametrize(
    ("data", "framing"),
    [(b"ab", Framing(by=Delimiter.LENGTH, length=3)), (b"3\r\nab", CHUNKED), (b"3\r\nabc\r\n", CHUNKED)],
)  # fmt: skip
def test_a_cut_body_is_no_body(data: bytes, framing: Framing) -> None:
    """It never counts as complete."""
    with pytest.raises(WireError):
        read(data, framing)
