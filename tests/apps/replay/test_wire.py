import asyncio
import gzip

import pytest

from ringfence.apps.replay.wire import Reply, Request, read_request


def read(data: bytes) -> Request | None:
    """Read one request from bytes."""

    async def go() -> Request | None:
        reader = asyncio.StreamReader(limit=1024)
        reader.feed_data(data)
        reader.feed_eof()
        return await read_request(reader)

    return asyncio.run(go())


def test_a_chunked_body_is_put_together_and_kept_raw() -> None:
    """The log has the chunks as sent, the server the body."""
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    request = read(data)
    assert request is not None
    assert (request.body, request.raw) == (b"abcde", data)


def test_a_compressed_body_is_opened() -> None:
    """Content encoding is undone for the server, not for the log."""
    body = gzip.compress(b"{}")
    head = f"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    request = read(head.encode() + body)
    assert request is not None
    assert request.content() == b"{}"
    assert request.raw.endswith(body)


def test_a_body_that_is_not_what_it_says_stays_as_it_is() -> None:
    """A false content encoding is no crash."""
    request = Request(
        method="POST", target="/", headers=(("content-encoding", "gzip"),), body=b"no", raw=b""
    )
    assert request.content() == b"no"


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-x\r\n\r\n", b"GET / HTTP/1.1\r\n", b"a" * 3000])
def test_what_is_no_request_is_none(data: bytes) -> None:
    """Nothing, another protocol, half a head or an endless one end the connection."""
    assert read(data) is None


def test_a_reply_states_its_length() -> None:
    """Clients need no end of connection to know the end of the answer."""
    assert Reply(body={"a": 1}).wire().endswith(b'content-length: 8\r\n\r\n{"a": 1}')
