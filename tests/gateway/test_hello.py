"""ClientHello: one server name, or a refusal."""

import ssl
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.gateway.hello import Hello, looks_like_tls, parse_hello


def real(name: str | None) -> bytes:
    """Give the hello that OpenSSL sends."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("name", ["forge.test", None])
def test_a_real_hello_is_read(name: str | None) -> None:
    """And at every cut before its end, more is asked for."""
    data = real(name)
    expected = Hello(name=name.encode() if name else None, encrypted=False)
    assert parse_hello(data) == expected
    for cut in range(len(data)):
        assert parse_hello(data[:cut]) is None


def test_a_hello_over_several_records_is_read() -> None:
    """As clients with long extensions send it."""
    message = real("forge.test")[5:]
    pieces = [message[i : i + 50] for i in range(0, len(message), 50)]
    data = b"".join(b"\x16\3\1" + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    assert parse_hello(data) == Hello(name=b"forge.test", encrypted=False)


def test_an_encrypted_hello_is_seen(hello: Callable[..., bytes]) -> None:
    """By its extension."""
    parsed = parse_hello(hello(b"a.test", ech=True))
    assert parsed == Hello(name=b"a.test", encrypted=True)


def test_two_names_are_refused(hello: Callable[..., bytes]) -> None:
    """A second extension would be a second opinion."""
    with pytest.raises(ValueError, match="twice"):
        parse_hello(hello(b"a.test", twice=True))


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n", b"\x16\2\1\0\1\0", b"\x16\3\1\0\0", b"\x16\3\1\0\4\2\0\0\0",
     b"\x16\3\1\0\4\1\xff\xff\xff", b"\x16\3\1\0\4\1\0\0\0", b"\x16\3\1\0\2\1\0\x15\3\1\0\0"],
)  # fmt: skip
def test_other_first_bytes_are_refused(data: bytes) -> None:
    """Another protocol, another record, a huge or empty hello."""
    with pytest.raises(ValueError, match=r"\S"):
        parse_hello(data)


def test_endless_pieces_are_refused() -> None:
    """A byte per record is no way to say hello."""
    start = b"\x16\3\1\0\1\1" + b"\x16\3\1\0\1\0" + b"\x16\3\1\0\1\x3f" + b"\x16\3\1\0\1\0"
    with pytest.raises(ValueError, match="pieces"):
        parse_hello(start + b"\x16\3\1\0\1\0" * 6_000)


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Never another exception."""
    for prefix in (b"", b"\x16\3\1\0\x50\1\0\0\x4c\3\3" + bytes(32)):
        try:
            parse_hello(prefix + data)
        except ValueError:
            continue


def test_bytes_after_the_extensions_are_refused() -> None:
    """Lengths have to add up, in the name as well."""
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + b"\0\0" + b"x"
    record = b"\1" + len(body).to_bytes(3, "big") + body
    with pytest.raises(ValueError, match="after"):
        parse_hello(b"\x16\3\1" + len(record).to_bytes(2, "big") + record)


def test_the_first_byte_tells() -> None:
    """Before a whole record has come."""
    assert looks_like_tls(b"")
    assert looks_like_tls(b"\x16")
    assert not looks_like_tls(b"S")
