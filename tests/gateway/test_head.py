# ruff: noqa: E501 - raw heads read better in one piece
"""Heads: what is accepted, h11 accepts with the same meaning; the rest is refused."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.gateway.head import (
    NO_BODY,
    Delimiter,
    Form,
    Framing,
    end_to_end,
    is_field_value,
    parse_field,
    parse_reply,
    parse_request,
    write_reply,
    write_request,
)


def request(text: str | bytes) -> object:
    """Parse with the usual bounds."""
    data = text.encode("latin-1") if isinstance(text, str) else text
    return parse_request(data, header_count=10, target_bytes=100)


def reply(text: str, method: str = "GET") -> object:
    """Parse with the usual bounds."""
    return parse_reply(text.encode("latin-1"), method=method, header_count=10)


@pytest.mark.parametrize(
    "text",
    [
        "", "\r\n\r\n", "GET / HTTP/1.1\r\n", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /" + "a" * 100 + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost a\r\n\r\n", "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\tb: c\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n", "GET /\n HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nb: \0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nb: \x0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nb: \x7f\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n" + "b: c\r\n" * 10 + "\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)  # fmt: skip
def test_heads_that_could_be_read_in_two_ways_are_refused(text: str) -> None:
    """RFC 9112, read strictly."""
    with pytest.raises(ValueError, match=r"\S"):
        request(text)


def test_the_three_forms_of_a_target() -> None:
    """With host, port, scheme and path told apart."""
    origin = request("GET /a?b HTTP/1.1\r\nHost: A.test:81\r\n\r\n")
    assert (origin.form, origin.path, origin.host.name, origin.port) == (
        Form.ORIGIN, "/a?b", "a.test", 81,
    )  # fmt: skip
    absolute = request("GET HTTP://a.test?x HTTP/1.1\r\nHost: a.test:80\r\n\r\n")
    assert (absolute.form, absolute.scheme, absolute.path) == (Form.ABSOLUTE, "http", "/?x")
    connect = request("CONNECT a.test:443 HTTP/1.0\r\n\r\n")
    assert (connect.form, connect.host.name, connect.port, connect.minor) == (
        Form.AUTHORITY, "a.test", 443, 0,
    )  # fmt: skip
    assert request("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n").port == 443


def test_framing_and_keep_alive() -> None:
    """As the headers say it."""
    head = "POST / HTTP/1.{} \r\nHost: a\r\n{}\r\n\r\n".replace(" \r", "\r")
    assert request(head.format(1, "Content-Length: 5")).framing == Framing(
        by=Delimiter.LENGTH, length=5
    )
    assert request(head.format(1, "Content-Length: 0")).framing == NO_BODY
    assert request(head.format(1, "Transfer-Encoding: Chunked")).framing.by is Delimiter.CHUNKED
    assert request(head.format(1, "a: b")).keep_alive
    assert not request(head.format(1, "Connection: x, Close")).keep_alive
    assert not request(head.format(0, "a: b")).keep_alive
    assert request(head.format(0, "Connection: keep-alive")).keep_alive


@pytest.mark.parametrize(
    ("text", "method", "by"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", Delimiter.LENGTH),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", Delimiter.NONE),
        ("HTTP/1.1 304 x\r\nContent-Length: 3\r\n\r\n", "GET", Delimiter.NONE),
        ("HTTP/1.1 204\r\n\r\n", "GET", Delimiter.NONE),
        ("HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", "GET", Delimiter.CHUNKED),
        ("HTTP/1.0 200 OK\r\n\r\n", "GET", Delimiter.CLOSE),
    ],
)
def test_the_extent_of_a_reply(text: str, method: str, by: Delimiter) -> None:
    """RFC 9112 section 6.3."""
    assert reply(text, method).framing.by is by


@pytest.mark.parametrize(
    "text",
    ["HTTP/1.1 99 x\r\n\r\n", "HTTP/1.1 2000 x\r\n\r\n", "HTTP/1.1  200 x\r\n\r\n", "200 OK\r\n\r\n",
     "HTTP/3 200 OK\r\n\r\n", "HTTP/1.1 200 a\0b\r\n\r\n", "HTTP/1.1 600 x\r\n\r\n"],
)  # fmt: skip
def test_malformed_status_lines_are_refused(text: str) -> None:
    """Whatever is no status line."""
    with pytest.raises(ValueError, match=r"\S"):
        reply(text)


def test_what_is_forwarded() -> None:
    """Nothing hop-by-hop, nothing that Connection names, our own framing."""
    head = request(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-A\r\nX-A: 1\r\nX-B:  2 \r\nTE: x\r\n\r\n"
    )
    assert end_to_end(head.headers) == (("x-b", "2"),)
    length = Framing(by=Delimiter.LENGTH, length=3)
    assert write_request("GET", "/", (("host", "a"),), length) == (
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n"
    )
    assert write_reply(299, (), Framing(by=Delimiter.CHUNKED), keep_alive=True) == (
        b"HTTP/1.1 299 \r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n"
    )


def test_values_that_fit_a_header() -> None:
    """A line break or outer space would change the head."""
    assert is_field_value(b"abc def")
    for bad in (b"a\r\nb: c", b"a\nb", b" a", b"a\0"):
        assert not is_field_value(bad)


names = st.sampled_from(["a", "x-b", "Content-Length", "Transfer-Encoding", "Connection", "Host"])
values = st.sampled_from(
    ["", "a", "5", "05", "chunked", "close", "a.test", "a b", "\xe4"]
) | st.text(alphabet=st.characters(max_codepoint=255), max_size=6)
targets = st.sampled_from(["/", "/a?b", "*", "http://a.test/", "http://a.test:80/x"]) | st.text(
    alphabet=st.characters(max_codepoint=255), min_size=1, max_size=6
)
methods = st.sampled_from(["GET", "POST", "get", "CONNECT", "G T", ""])


@given(
    methods,
    targets,
    st.sampled_from(["1.0", "1.1"]),
    st.lists(st.tuples(names, values), max_size=4),
    st.booleans(),
)
def test_whatever_we_accept_h11_reads_alike(
    method: str,
    target: str,
    version: str,
    headers: list[tuple[str, str]],
    host: bool,  # noqa: FBT001 - drawn
) -> None:
    """The oracle: same method, target, headers and framing."""
    lines = [f"{method} {target} HTTP/{version}"]
    lines += ["Host: a.test"] * host + [f"{name}: {value}" for name, value in headers]
    data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    try:
        head = request(data)
    except ValueError:
        return
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(data)
    event = oracle.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == head.method.encode()
    assert [(n.decode(), v.decode("latin-1")) for n, v in event.headers] == [
        (n, v.lower() if n == "transfer-encoding" else v) for n, v in head.headers
    ]
    following = oracle.next_event()
    if head.framing.by is Delimiter.NONE and head.method != "CONNECT":
        assert isinstance(following, h11.EndOfMessage)
    elif head.framing.by is not Delimiter.NONE:
        assert following is h11.NEED_DATA
        body = b"x" * head.framing.length
        oracle.receive_data(body if head.framing.by is Delimiter.LENGTH else b"0\r\n\r\n")
        seen = oracle.next_event()
        if head.framing.by is Delimiter.LENGTH:
            assert bytes(seen.data) == body
        else:
            assert isinstance(seen, h11.EndOfMessage)


@given(st.lists(st.tuples(names, values), max_size=4))
def test_what_we_write_we_read_back(headers: list[tuple[str, str]]) -> None:
    """A head built from parsed fields parses to the same fields."""
    fields = []
    for name, value in headers:
        try:
            field = parse_field(f"{name}: {value}".encode("latin-1"))
        except ValueError:
            continue
        if field[0] not in {"host", "content-length", "transfer-encoding"}:
            fields.append(field)
    data = write_request("GET", "/", (("host", "a.test"), *fields), NO_BODY)
    assert request(data).headers == (("host", "a.test"), *fields)


@given(st.binary(max_size=60))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    """Never another exception."""
    for block in (data + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + data + b"\r\n\r\n"):
        try:
            request(block)
        except ValueError:
            continue
