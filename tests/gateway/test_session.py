"""Names, protocols and smuggling: every trick is refused and recorded, and nothing gets out."""

import json
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from ringfence.audit.record import EventName
from ringfence.chain.words import Action, NetworkRule

World = Any  # the fixtures of conftest.py; test folders cannot import each other
Make = Callable[..., Any]


@pytest.fixture
def town(world: World, start_upstream: Make, rule: Make) -> Any:
    """A forge that may be read under /public, a tunnelled host, and an evil that may not."""
    forge = start_upstream("forge.test", "api.good.test", "evil.test")
    plain = start_upstream("forge.test", tls=False)
    pinned = start_upstream("pinned.test")
    box = world.open(
        rule("forge.test", forge.port, methods=("GET", "POST"), paths=("/public/**",)),
        rule("*.good.test", forge.port, methods=("GET",)),
        rule("forge.test", plain.port, scheme="http", methods=("GET",)),
        rule("pinned.test", pinned.port),
        rule("private.test", 443, allow_private=()),
        rule("meta.test", 443, allow_private=("0.0.0.0/0",)),
        rule("mapped.test", 443, allow_private=("::/0",)),
        rule("mixed.test", 443),
        rule("held.test", 443, action=Action.HOLD),
        rule("held.test", 443),
    )
    return Town(world, box, forge, plain, pinned)


class Town(NamedTuple):
    """The places of these tests."""

    world: Any
    box: Any
    forge: Any
    plain: Any
    pinned: Any

    def fill(self, text: str) -> bytes:
        """Put the ports of this test into a request."""
        for name in ("forge", "plain", "pinned"):
            text = text.replace(f"<{name}>", str(getattr(self, name).port))
        return text.encode("latin-1")

    def reached(self) -> int:
        """Count the requests that got out."""
        return len(self.forge.seen) + len(self.plain.seen) + len(self.pinned.seen)


HEAD = "Host: forge.test:<forge>\r\n\r\n"

# What the box sends to the broker first, and the rule that refuses it.
AT_THE_DOOR = {
    "nul-host": ("CONNECT evil.test\0.good.test:<forge> HTTP/1.1\r\n" + HEAD, "request-malformed"),
    "nul-encoded": ("CONNECT a%00.good.test:<forge> HTTP/1.1\r\nHost: a\r\n\r\n", "request-malformed"),
    "userinfo": ("CONNECT forge.test:x@evil.test:443 HTTP/1.1\r\nHost: a\r\n\r\n", "request-malformed"),
    "backslash": ("CONNECT evil.test\\.good.test:443 HTTP/1.1\r\nHost: a\r\n\r\n", "request-malformed"),
    "tab-host": ("CONNECT evil.test\t.good.test:443 HTTP/1.1\r\nHost: a\r\n\r\n", "request-malformed"),
    "suffix-twin": ("CONNECT evilgood.test:443 HTTP/1.1\r\nHost: evilgood.test\r\n\r\n", "no-rule"),
    "prefix-twin": ("CONNECT a.good.test.evil.test:443 HTTP/1.1\r\nHost: a.good.test.evil.test\r\n\r\n", "no-rule"),
    "bare-domain": ("CONNECT good.test:<forge> HTTP/1.1\r\nHost: good.test\r\n\r\n", "no-rule"),
    "two-labels": ("CONNECT a.b.good.test:<forge> HTTP/1.1\r\nHost: a.b.good.test\r\n\r\n", "no-rule"),
    "punycode": ("CONNECT xn--frge-6qa.test:443 HTTP/1.1\r\nHost: xn--frge-6qa.test\r\n\r\n", "no-rule"),
    "full-width": ("CONNECT \u00ef\u00bd\u0085vil.test:443 HTTP/1.1\r\nHost: a\r\n\r\n", "request-malformed"),
    "dword": ("CONNECT 2130706433:<forge> HTTP/1.1\r\nHost: 2130706433\r\n\r\n", "request-malformed"),
    "hex-ip": ("CONNECT 0x7f.1:<forge> HTTP/1.1\r\nHost: 0x7f.1\r\n\r\n", "request-malformed"),
    "short-ip": ("CONNECT 127.1:<forge> HTTP/1.1\r\nHost: 127.1\r\n\r\n", "request-malformed"),
    "octal-ip": ("CONNECT 0177.0.0.1:<forge> HTTP/1.1\r\nHost: 0177.0.0.1\r\n\r\n", "request-malformed"),
    "literal-ip": ("CONNECT 127.0.0.1:<forge> HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "no-rule"),
    "mapped-ip": ("CONNECT [::ffff:127.0.0.1]:<forge> HTTP/1.1\r\nHost: a\r\n\r\n", "request-malformed"),
    "mapped-ip-alone": ("CONNECT [::ffff:127.0.0.1]:<forge> HTTP/1.0\r\n\r\n", "no-rule"),
    "loopback-v6": ("CONNECT [::1]:<forge> HTTP/1.0\r\n\r\n", "no-rule"),
    "zone-id": ("CONNECT [fe80::1%25lo]:<forge> HTTP/1.0\r\n\r\n", "request-malformed"),
    "any-address": ("CONNECT 0.0.0.0:<forge> HTTP/1.0\r\n\r\n", "no-rule"),
    "metadata-ip": ("CONNECT 169.254.169.254:80 HTTP/1.0\r\n\r\n", "no-rule"),
    "metadata-decimal": ("CONNECT 2852039166:80 HTTP/1.0\r\n\r\n", "request-malformed"),
    "resolves-private": ("CONNECT private.test:443 HTTP/1.0\r\n\r\n", "address-refused"),
    "resolves-metadata": ("CONNECT meta.test:443 HTTP/1.0\r\n\r\n", "address-refused"),
    "resolves-mapped": ("CONNECT mapped.test:443 HTTP/1.0\r\n\r\n", "address-refused"),
    "one-bad-answer": ("CONNECT mixed.test:443 HTTP/1.0\r\n\r\n", "address-refused"),
    "other-port": ("CONNECT forge.test:22 HTTP/1.0\r\n\r\n", "no-rule"),
    "no-port": ("CONNECT forge.test HTTP/1.0\r\n\r\n", "request-malformed"),
    "port-zero": ("CONNECT forge.test:0 HTTP/1.0\r\n\r\n", "request-malformed"),
    "connect-host-differs": ("CONNECT forge.test:<forge> HTTP/1.1\r\nHost: evil.test\r\n\r\n", "request-malformed"),
    "connect-with-body": ("CONNECT forge.test:<forge> HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", "request-malformed"),
    "http-evil": ("GET http://evil.test:<plain>/ HTTP/1.1\r\nHost: evil.test:<plain>\r\n\r\n", "no-rule"),
    "http-other-port": ("GET http://forge.test/ HTTP/1.1\r\nHost: forge.test\r\n\r\n", "no-rule"),
    "http-authority-differs": ("GET http://forge.test:<plain>/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", "request-malformed"),
    "http-userinfo": ("GET http://a@forge.test:<plain>/ HTTP/1.1\r\nHost: forge.test:<plain>\r\n\r\n", "request-malformed"),
    "https-in-the-clear": ("GET https://forge.test:<forge>/public/ HTTP/1.1\r\nHost: forge.test:<forge>\r\n\r\n", "not-a-proxy-request"),
    "origin-form": ("GET /public/ HTTP/1.1\r\nHost: forge.test:<plain>\r\n\r\n", "not-a-proxy-request"),
    "h2c-upgrade": ("GET http://forge.test:<plain>/ HTTP/1.1\r\nHost: forge.test:<plain>\r\nUpgrade: h2c\r\n\r\n", "upgrade-refused"),
    "websocket": ("GET http://forge.test:<plain>/ HTTP/1.1\r\nHost: forge.test:<plain>\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "upgrade-refused"),
    "h2-preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "request-malformed"),
    "socks5": ("\x05\x01\x00\r\n\r\n", "request-malformed"),
    "no-host": ("GET http://forge.test:<plain>/ HTTP/1.1\r\n\r\n", "request-malformed"),
    "two-hosts": ("GET http://forge.test:<plain>/ HTTP/1.1\r\nHost: forge.test:<plain>\r\nHost: evil.test\r\n\r\n", "request-malformed"),
    "bare-lf": ("GET http://forge.test:<plain>/ HTTP/1.1\nHost: forge.test:<plain>\n\n", "request-malformed"),
    "folded": ("GET http://forge.test:<plain>/ HTTP/1.1\r\nHost: forge.test:<plain>\r\nA: b\r\n c\r\n\r\n", "request-malformed"),
    "huge-head": ("GET http://forge.test:<plain>/ HTTP/1.1\r\nA: " + "a" * 70_000, "request-malformed"),
    "held": ("CONNECT held.test:443 HTTP/1.0\r\n\r\n", None),
}  # fmt: skip


@pytest.mark.parametrize("trick", [name for name in AT_THE_DOOR if name != "held"])
def test_tricks_at_the_door(town: Town, trick: str) -> None:
    """Each is refused by its rule, answered as JSON, recorded once; nothing is dialled."""
    data, expected = AT_THE_DOOR[trick]
    answer = town.box.ask(town.fill(data))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4")
    assert json.loads(body)["error"]["rule"] == expected
    assert town.world.denials() == [expected]
    assert town.reached() == 0


GET = "GET /public/a HTTP/1.1\r\nHost: forge.test:<forge>\r\n"

# What the box sends inside an intercepted connection to the forge.
INSIDE = {
    "other-host": ("GET /public/a HTTP/1.1\r\nHost: evil.test:<forge>\r\n\r\n", "host-mismatch"),
    "no-port": ("GET /public/a HTTP/1.1\r\nHost: forge.test\r\n\r\n", "host-mismatch"),
    "absolute-other": ("GET https://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", "host-mismatch"),
    "absolute-http": ("GET http://forge.test:<forge>/public/a HTTP/1.1\r\nHost: forge.test:<forge>\r\n\r\n", "host-mismatch"),
    "nested-connect": ("CONNECT forge.test:<forge> HTTP/1.1\r\n" + HEAD, "nested-connect"),
    "nested-connect-evil": ("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n", "nested-connect"),
    "pipelined-other": (GET + "\r\nGET /public/a HTTP/1.1\r\nHost: evil.test\r\n\r\n", "host-mismatch"),
    "private-path": ("GET /private HTTP/1.1\r\n" + HEAD, "no-rule"),
    "other-method": ("DELETE /public/a HTTP/1.1\r\n" + HEAD, "no-rule"),
    "trace": ("TRACE /public/a HTTP/1.1\r\n" + HEAD, "method-refused"),
    "lower-method": ("get /public/a HTTP/1.1\r\n" + HEAD, "method-refused"),
    "dot-dot": ("GET /public/../private HTTP/1.1\r\n" + HEAD, "path-refused"),
    "dot-dot-encoded": ("GET /public/%2e%2e/private HTTP/1.1\r\n" + HEAD, "path-refused"),
    "dot-dot-semicolon": ("GET /public/..;/private HTTP/1.1\r\n" + HEAD, "path-refused"),
    "double-slash": ("GET /public//private HTTP/1.1\r\n" + HEAD, "path-refused"),
    "encoded-slash": ("GET /public/..%2fprivate HTTP/1.1\r\n" + HEAD, "path-refused"),
    "double-encoded": ("GET /public/%252e%252e/private HTTP/1.1\r\n" + HEAD, "path-refused"),
    "backslash-path": ("GET /public\\..\\private HTTP/1.1\r\n" + HEAD, "path-refused"),
    "override-header": ("POST /public/a HTTP/1.1\r\nX-HTTP-Method-Override: DELETE\r\n" + HEAD, "method-override"),
    "override-query": ("POST /public/a?_method=DELETE HTTP/1.1\r\n" + HEAD, "method-override"),
    "override-form": ("POST /public/a HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n" + HEAD + "%5fmethod=PATCH", "method-override"),
    "override-multipart": ("POST /public/a HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 58\r\n" + HEAD + '--x\r\nContent-Disposition: form-data; name="_method"\r\n\r\nPUT', "method-override"),
    "cl-and-te": ("POST /public/a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + HEAD + "0\r\n\r\n", "request-malformed"),
    "two-cl": ("POST /public/a HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n" + HEAD + "abcde", "request-malformed"),
    "cl-list": ("POST /public/a HTTP/1.1\r\nContent-Length: 5, 5\r\n" + HEAD + "abcde", "request-malformed"),
    "cl-plus": ("POST /public/a HTTP/1.1\r\nContent-Length: +5\r\n" + HEAD + "abcde", "request-malformed"),
    "te-twice": ("POST /public/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + HEAD + "0\r\n\r\n", "request-malformed"),
    "te-hidden": ("POST /public/a HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n" + HEAD, "request-malformed"),
    "te-space-colon": ("POST /public/a HTTP/1.1\r\nTransfer-Encoding : chunked\r\n" + HEAD, "request-malformed"),
    "te-underscore": ("POST /public/a HTTP/1.1\r\nTransfer_Encoding: chunked\r\n" + HEAD, "request-malformed"),
    "bare-cr": ("GET /public/a HTTP/1.1\r\nA: b\rHost: evil.test\r\n" + HEAD, "request-malformed"),
    "nul-header": ("GET /public/a HTTP/1.1\r\nA: b\0c\r\n" + HEAD, "request-malformed"),
    "bad-chunk": ("POST /public/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + "zz\r\nabc\r\n0\r\n\r\n", "request-malformed"),
    "long-chunk": ("POST /public/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + "2\r\nabc\r\n0\r\n\r\n", "request-malformed"),
    "upgrade-inside": (GET + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", "upgrade-refused"),
    "expect-other": (GET + "Expect: 200-maybe\r\n\r\n", "request-malformed"),
}  # fmt: skip


@pytest.mark.parametrize("trick", INSIDE)
def test_tricks_inside_an_intercepted_connection(town: Town, trick: str) -> None:
    """Refused and recorded; only the innocent first half of a pipeline gets out."""
    data, expected = INSIDE[trick]
    answer = town.box.fetch(f"forge.test:{town.forge.port}", town.fill(data))
    body = answer.rpartition(b"\r\n\r\n")[2]
    assert json.loads(body)["error"]["rule"] == expected
    assert (b" 421 " in answer) is (expected == "host-mismatch")
    assert town.world.denials() == [expected]
    assert town.reached() == (1 if trick == "pipelined-other" else 0)


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("forge.test:<forge>", "forge.test:<forge>"),
        ("FORGE.test.:<forge>", "Forge.Test:<forge>"),
        ("api.good.test:<forge>", "api.good.test.:<forge>"),
    ],
)
def test_normal_spellings_pass(town: Town, authority: str, host: str) -> None:
    """Upper case and a trailing dot are the same host; the server sees the normal form."""
    connect = town.fill(authority).decode()
    name = connect.partition(":")[0].lower().rstrip(".")
    first = town.fill(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
    request = town.fill(f"GET /public/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    answer = town.box.fetch(connect, request, first=first, sni=name)
    assert answer.startswith(b"HTTP/1.1 200")
    assert town.forge.seen[0]["headers"]["host"] == f"{name}:{town.forge.port}"
    assert town.world.denials() == []


def test_plain_http_passes_where_a_rule_says_so(town: Town) -> None:
    """In absolute form, and a second request on the same connection is decided anew."""
    request = town.fill(
        "GET http://forge.test:<plain>/a HTTP/1.1\r\nHost: forge.test:<plain>\r\n\r\n"
        "GET http://evil.test:<plain>/b HTTP/1.1\r\nHost: evil.test:<plain>\r\n\r\n"
    )
    answer = town.box.ask(request)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"no-rule" in answer
    assert [seen["path"] for seen in town.plain.seen] == ["/a"]


@pytest.mark.parametrize(
    ("sni", "expected"), [("evil.test", "sni-mismatch"), (None, "sni-missing")]
)
@pytest.mark.parametrize("place", ["forge", "pinned"])
def test_the_server_name_is_that_of_the_connect(
    town: Town, place: str, sni: str | None, expected: str
) -> None:
    """Fronting fails before anything is dialled, intercepted or tunnelled."""
    port = getattr(town, place).port
    with pytest.raises((ssl.SSLError, ConnectionError)):
        town.box.tunnel(f"{place}.test:{port}", sni=sni, verify=False).close()
    assert town.world.denials() == [expected]
    assert town.reached() == 0
    assert not town.world.events(EventName.EGRESS_ALLOW)


@pytest.mark.parametrize("place", ["forge", "pinned"])
def test_only_tls_follows_a_connect(town: Town, place: str) -> None:
    """Neither plain HTTP, nor SSH, nor anything else."""
    port = getattr(town, place).port
    with town.box.connect() as sock:
        sock.sendall(f"CONNECT {place}.test:{port} HTTP/1.0\r\n\r\n".encode())
        assert b" 200 " in sock.recv(1000)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        assert sock.recv(1000) == b""
    assert town.world.denials() == ["not-tls"]


def test_silence_after_connect_is_ended(town: Town) -> None:
    """A client that never starts its handshake does not hold a connection."""
    with town.box.connect() as sock:
        sock.sendall(f"CONNECT pinned.test:{town.pinned.port} HTTP/1.0\r\n\r\n".encode())
        assert b" 200 " in sock.recv(1000)
        assert sock.recv(1000) == b""
    assert town.world.denials() == ["not-tls"]


def test_an_encrypted_hello_does_not_pass_a_tunnel(town: Town, hello: Make) -> None:
    """It would hide the server it is for."""
    with town.box.connect() as sock:
        sock.sendall(f"CONNECT pinned.test:{town.pinned.port} HTTP/1.0\r\n\r\n".encode())
        assert b" 200 " in sock.recv(1000)
        sock.sendall(hello(b"pinned.test", ech=True))
        assert sock.recv(1000) == b""
    assert town.world.denials() == ["ech-refused"]


def test_an_untrusting_client_is_told_why_in_the_record(town: Town) -> None:
    """A box that does not use its bundle fails in the handshake."""
    with town.box.connect() as sock:
        sock.sendall(f"CONNECT forge.test:{town.forge.port} HTTP/1.0\r\n\r\n".encode())
        assert b" 200 " in sock.recv(1000)
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(sock, server_hostname="forge.test")
    town.world.until(lambda: town.world.denials() == ["client-tls-failed"])


def test_a_held_request_is_refused_with_a_reason(
    world: World, start_upstream: Make, rule: Make
) -> None:
    """Nobody can be asked on this wire, so hold is no."""
    forge = start_upstream("forge.test")
    box = world.open(
        rule("forge.test", forge.port), rule("forge.test", forge.port, action=Action.HOLD)
    )
    request = f"GET / HTTP/1.1\r\nHost: forge.test:{forge.port}\r\n\r\n".encode()
    answer = box.fetch(f"forge.test:{forge.port}", request)
    assert b'"hold-unanswered"' in answer
    assert world.denials() == ["hold-unanswered"]
    assert not forge.seen


def test_a_naive_proxy_would_have_been_fronted(start_upstream: Make, outside: Any) -> None:
    """The guard-off proof: without the check the upstream happily serves another Host."""
    import socket

    forge = start_upstream("forge.test")
    context = ssl.create_default_context(cadata=outside.pem)
    with (
        socket.create_connection(("127.0.0.1", forge.port)) as raw,
        context.wrap_socket(raw, server_hostname="forge.test") as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n")
        assert tls.recv(100).startswith(b"HTTP/1.1 200")
    assert forge.seen[0]["headers"]["host"] == "evil.test"


def test_a_broken_rule_closes_the_route(world: World, rule: Make) -> None:
    """A pattern nobody can read denies everything, the good rules too."""
    bad: NetworkRule = rule("forge.test", 443, allow_private=("nonsense",))
    box = world.open(bad)
    assert b"policy-error" in box.ask(b"CONNECT forge.test:443 HTTP/1.0\r\n\r\n")
    assert world.denials() == ["policy-error"]
