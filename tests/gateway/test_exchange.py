"""Credentials on the way out, masks on the way back, and bodies of any size."""

import base64
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.audit.record import EventName

World = Any  # the fixtures of conftest.py; test folders cannot import each other
Make = Callable[..., Any]


@pytest.fixture
def forge(start_upstream: Make) -> Any:
    """A server that the box may send anything to."""
    return start_upstream("forge.test")


@pytest.fixture
def box(world: World, forge: Any, rule: Make, use: Make, lease: Make) -> Any:
    """A box with the secret for the forge."""
    return world.open(rule("forge.test", forge.port), secrets=(use(),), leases=(lease(),))


def request(forge: Any, *lines: str, method: str = "GET", path: str = "/", body: str = "") -> bytes:
    """Build a request to the forge that closes afterwards."""
    head = [
        f"{method} {path} HTTP/1.1",
        f"Host: forge.test:{forge.port}",
        "Connection: close",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode("latin-1")


def send(box: Any, forge: Any, *lines: str, **how: str) -> bytes:
    """Send one request through the broker."""
    return box.fetch(f"forge.test:{forge.port}", request(forge, *lines, **how))


@pytest.mark.parametrize(
    ("shown", "sent"),
    [
        ("Bearer {p}", "Bearer {v}"),
        ("token {p}", "token {v}"),
        ("{p}", "{v}"),
        ("Basic {user:p}", "Basic {user:v}"),
        ("Basic {p:}", "Basic {v:}"),
    ],
)
def test_the_secret_is_put_where_its_placeholder_stands(
    box: Any, forge: Any, world: World, placeholder: str, value: bytes, shown: str, sent: str
) -> None:
    """The server gets the real value, the agent never sees it, the record names it."""

    def fill(text: str) -> str:
        for inner, raw in (("{user:p}", f"user:{placeholder}"), ("{user:v}", f"user:{value.decode()}"),
                           ("{p:}", f"{placeholder}:"), ("{v:}", f"{value.decode()}:")):  # fmt: skip
            text = text.replace(inner, base64.b64encode(raw.encode()).decode())
        return text.replace("{p}", placeholder).replace("{v}", value.decode())

    answer = send(box, forge, f"Authorization: {fill(shown)}")
    assert forge.seen[0]["headers"]["authorization"] == fill(sent)
    assert answer.startswith(b"HTTP/1.1 200")
    assert value not in answer
    assert fill(sent).encode() not in answer
    use, allow = world.events(EventName.SECRET_USE)[0], world.events(EventName.EGRESS_ALLOW)[0]
    assert use.subject == "GH_TOKEN"
    assert allow.detail["secrets"] == ["GH_TOKEN"]


def unchunk(data: bytes) -> bytes:
    """Join the chunks of a body."""
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        whole, data = whole + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return whole


MISPLACED = {
    "other-header": (["X-Leak: {p}"], "/", ""),
    "cookie": (["Cookie: a={p}"], "/", ""),
    "path": ([], "/a/{p}", ""),
    "query": ([], "/?q={p}", ""),
    "query-encoded": ([], "/?q=%72fph_{rest}", ""),
    "body": (["Content-Length: {len}"], "/", "x={p}"),
    "body-base64": (["Content-Length: {len}"], "/", "{b64}"),
    "body-hex": (["Content-Length: {len}"], "/", "{hex}"),
    "header-base64": (["X-Data: {b64}"], "/", ""),
    "twice-in-slot": (["Authorization: Bearer {p} {p}"], "/", ""),
    "two-slots": (["Authorization: Bearer {p}", "Authorization: Bearer {p}"], "/", ""),
    "slot-and-body": (["Authorization: Bearer {p}", "Content-Length: {len}"], "/", "{p}"),
    "in-basic-user-and-password": (["Authorization: Basic {b64pair}"], "/", ""),
    "in-words": (["Authorization: Bearer x{p}"], "/", ""),
    "header-name": (["{p}: x"], "/", ""),
}


@pytest.mark.parametrize("case", MISPLACED)
def test_a_placeholder_anywhere_else_is_an_alarm(
    box: Any, forge: Any, world: World, placeholder: str, case: str
) -> None:
    """The request is refused, the secret is named, nothing gets out."""
    lines, path, body = MISPLACED[case]
    fields = {
        "{p}": placeholder,
        "{rest}": placeholder.removeprefix("rfph_"),
        "{b64}": base64.b64encode(b"ab" + placeholder.encode()).decode(),
        "{hex}": placeholder.encode().hex(),
        "{b64pair}": base64.b64encode(f"{placeholder}:{placeholder}".encode()).decode(),
    }

    def fill(text: str) -> str:
        for name, put in fields.items():
            text = text.replace(name, put)
        return text

    filled = fill(body)
    sent = [fill(line).replace("{len}", str(len(filled))) for line in lines]
    answer = send(box, forge, *sent, method="POST", path=fill(path), body=filled)
    assert b'"placeholder-misplaced"' in answer
    assert [record.subject for record in world.events(EventName.SECRET_DENY)] == ["GH_TOKEN"]
    assert world.denials() == ["placeholder-misplaced"]
    assert not forge.seen


def test_a_placeholder_toward_another_host_is_an_alarm(
    world: World, start_upstream: Make, rule: Make, use: Make, lease: Make, placeholder: str
) -> None:
    """Even in the right header."""
    other = start_upstream("api.good.test")
    box = world.open(
        rule("api.good.test", other.port, methods=("GET",)), secrets=(use(),), leases=(lease(),)
    )
    line = f"GET / HTTP/1.1\r\nHost: api.good.test:{other.port}\r\nAuthorization: Bearer {placeholder}\r\n\r\n"
    answer = box.fetch(f"api.good.test:{other.port}", line.encode())
    assert b'"placeholder-misplaced"' in answer
    assert not other.seen


def test_a_lease_without_a_binding_is_not_used(
    world: World, forge: Any, rule: Make, lease: Make, placeholder: str
) -> None:
    """Policy is asked about every secret: a lease alone is no right."""
    box = world.open(rule("forge.test", forge.port, methods=("GET",)), leases=(lease(),))
    assert b'"secret-not-granted"' in send(box, forge, f"Authorization: Bearer {placeholder}")
    assert not forge.seen


def test_a_secret_is_not_sent_in_the_clear(
    world: World, start_upstream: Make, rule: Make, use: Make, lease: Make, placeholder: str
) -> None:
    """Plain HTTP to the right host is refused."""
    plain = start_upstream("forge.test", tls=False)
    box = world.open(
        rule("forge.test", plain.port, scheme="http"), secrets=(use(),), leases=(lease(),)
    )
    ask = f"GET http://forge.test:{plain.port}/ HTTP/1.1\r\nHost: forge.test:{plain.port}\r\n"
    answer = box.ask(f"{ask}Authorization: Bearer {placeholder}\r\n\r\n".encode())
    assert b'"secret-needs-tls"' in answer
    assert not plain.seen


def test_an_ended_lease_is_not_used(
    world: World, forge: Any, rule: Make, use: Make, lease: Make, placeholder: str
) -> None:
    """Though its step goes on."""
    import datetime as dt

    old = lease(until=dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    box = world.open(rule("forge.test", forge.port), secrets=(use(),), leases=(old,))
    assert b'"lease-expired"' in send(box, forge, f"Authorization: Bearer {placeholder}")
    assert not forge.seen


def test_an_echoing_server_does_leak_without_the_broker(
    forge: Any, outside: Any, value: bytes
) -> None:
    """The guard-off proof for the masking tests: the server gives back what it gets."""
    context = ssl.create_default_context(cadata=outside.pem)
    with (
        socket.create_connection(("127.0.0.1", forge.port)) as raw,
        context.wrap_socket(raw, server_hostname="forge.test") as tls,
    ):
        tls.sendall(request(forge, f"Authorization: {value.decode()}"))
        data = b""
        while piece := tls.recv(65536):
            data += piece
    assert value in data


@pytest.mark.parametrize(
    "form",
    [
        lambda v: v, lambda v: base64.b64encode(v), lambda v: base64.b64encode(b"x" + v),
        lambda v: base64.urlsafe_b64encode(b"xy" + v + b"z"), lambda v: v.hex().encode(),
        lambda v: v.hex().upper().encode(), lambda v: v.replace(b"/", b"%2F").replace(b"+", b"%2B").replace(b"=", b"%3D"),
        lambda v: v.replace(b"/", b"\\/"), lambda v: b"".join(b"\\u%04x" % c for c in v),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["body", "slow", "chunked", "header", "close"])
def test_real_values_are_masked_in_replies(
    box: Any, forge: Any, world: World, value: bytes, form: Callable[[bytes], bytes], where: str
) -> None:
    """In every form, in head and body, however the body is framed and cut."""
    leak = b"before " + form(value) + b" after"

    def reply(handler: Any, _: bytes) -> None:
        handler.close_connection = True
        handler.send_response(200)
        if where == "header":
            handler.send_header("X-Echo", leak.decode("latin-1"))
        if where == "chunked":
            handler.send_header("Transfer-Encoding", "chunked")
        elif where != "close":
            handler.send_header("Content-Length", str(len(leak)))
        handler.end_headers()
        pieces = (
            [leak]
            if where in {"body", "header"}
            else [leak[i : i + 5] for i in range(0, len(leak), 5)]
        )
        for piece in pieces:
            handler.wfile.write(
                b"%x\r\n%b\r\n" % (len(piece), piece) if where == "chunked" else piece
            )
            handler.wfile.flush()
        if where == "chunked":
            handler.wfile.write(b"0\r\n\r\n")

    forge.reply = reply
    answer = send(box, forge)
    if where in {"chunked", "close"}:
        answer = unchunk(answer.partition(b"\r\n\r\n")[2])
    assert b"before " in answer
    assert b" after" in answer
    for length in (len(form(value)), 12):
        assert form(value)[4 : 4 + length] not in answer
    world.until(lambda: len(world.events(EventName.EGRESS_RESULT)) == 1)
    assert world.events(EventName.EGRESS_RESULT)[0].detail["redactions"] >= 1


def test_an_encoded_reply_is_refused_where_values_could_hide(
    box: Any, forge: Any, world: World
) -> None:
    """Identity is asked for; a server that compresses all the same is not passed on."""

    def reply(handler: Any, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", "3")
        handler.end_headers()
        handler.wfile.write(b"abc")

    forge.reply = reply
    answer = send(box, forge, "Accept-Encoding: gzip")
    assert answer.startswith(b"HTTP/1.1 502")
    assert b'"reply-encoded"' in answer
    assert forge.seen[0]["headers"]["accept-encoding"] == "identity"
    assert world.denials() == ["reply-encoded"]


def test_a_value_is_not_fetched_in_parts(box: Any, forge: Any, placeholder: str) -> None:
    """Range is dropped with a credential, and kept without one."""
    send(box, forge, f"Authorization: Bearer {placeholder}", "Range: bytes=0-3", "If-Range: x")
    send(box, forge, "Range: bytes=0-3")
    assert "range" not in forge.seen[0]["headers"]
    assert "if-range" not in forge.seen[0]["headers"]
    assert forge.seen[1]["headers"]["range"] == "bytes=0-3"


def test_hop_by_hop_headers_and_alt_svc_stay_here(box: Any, forge: Any) -> None:
    """In both directions, and those that Connection names."""
    answer = send(
        box, forge, "Proxy-Authorization: Basic eA==", "Keep-Alive: 5", "TE: trailers",
        "Connection: x-mine", "X-Mine: 1", "X-Kept: 2",
    )  # fmt: skip
    headers = forge.seen[0]["headers"]
    assert headers["x-kept"] == "2"
    assert not {"proxy-authorization", "keep-alive", "te", "x-mine", "connection"} & set(headers)
    assert b"alt-svc" not in answer.lower()


def test_a_redirect_is_passed_on_and_decided_anew(box: Any, forge: Any, world: World) -> None:
    """Following it is a new request, and that is refused."""

    def reply(handler: Any, _: bytes) -> None:
        handler.send_response(307)
        handler.send_header("Location", "https://evil.test/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    forge.reply = reply
    assert b"location: https://evil.test/" in send(box, forge)
    with pytest.raises(ConnectionError):
        box.tunnel("evil.test:443")
    assert world.denials() == ["no-rule"]


def read_reply(tls: Any) -> tuple[bytes, bytes]:
    """Read one reply with a length."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += tls.recv(1)
    size = next(
        int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.startswith(b"content-length")
    )
    body = b""
    while len(body) < size:
        body += tls.recv(size - len(body))
    return head, body


def test_a_connection_is_kept_on_both_sides(
    box: Any, forge: Any, world: World, placeholder: str
) -> None:
    """Every request on it is decided, recorded and swapped by itself."""
    ports = []
    forge.reply = lambda handler, _: (
        ports.append(handler.client_address[1]), handler.send_response(200),
        handler.send_header("Content-Length", "2"), handler.end_headers(), handler.wfile.write(b"ok"),
    )  # fmt: skip
    with box.tunnel(f"forge.test:{forge.port}") as tls:
        for number in range(3):
            auth = f"Authorization: Bearer {placeholder}\r\n" if number == 1 else ""
            tls.sendall(
                f"GET /{number} HTTP/1.1\r\nHost: forge.test:{forge.port}\r\n{auth}\r\n".encode()
            )
            assert read_reply(tls)[1] == b"ok"
    assert len(set(ports)) == 1
    assert [allow.subject.rpartition("/")[2] for allow in world.events(EventName.EGRESS_ALLOW)] == [
        "0",
        "1",
        "2",
    ]
    assert [("authorization" in seen["headers"]) for seen in forge.seen] == [False, True, False]


def test_a_connection_the_server_closed_is_opened_again(box: Any, forge: Any) -> None:
    """Between two requests of the client."""

    def reply(handler: Any, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")
        handler.close_connection = True

    forge.reply = reply
    with box.tunnel(f"forge.test:{forge.port}") as tls:
        for _ in range(2):
            tls.sendall(f"GET / HTTP/1.1\r\nHost: forge.test:{forge.port}\r\n\r\n".encode())
            assert read_reply(tls)[1] == b"ok"


def rss(pid: int) -> int:
    """Give the resident memory of a process in bytes."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("with_secret", [True, False])
def test_a_large_download_passes_in_constant_memory(
    world: World, forge: Any, rule: Make, use: Make, lease: Make, *, with_secret: bool
) -> None:
    """128 MiB, masked or not, while the broker grows by a fraction of it."""
    size, block = 128 * 2**20, b"\xa5" * 2**20
    more = {"secrets": (use(),), "leases": (lease(),)} if with_secret else {}
    box = world.open(rule("forge.test", forge.port, methods=("GET",)), **more)

    def reply(handler: Any, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        for _ in range(size // len(block)):
            handler.wfile.write(block)

    forge.reply = reply
    with box.tunnel(f"forge.test:{forge.port}") as tls:
        tls.sendall(request(forge))
        got = len(tls.recv(1000))
        before = rss(world.broker.pid)
        peak = before
        while piece := tls.recv(2**20):
            got += len(piece)
            if got % 64 == 0:
                peak = max(peak, rss(world.broker.pid))
        peak = max(peak, rss(world.broker.pid))
    assert got > size
    assert peak - before < 32 * 2**20


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_upload_passes_in_pieces(
    box: Any, forge: Any, world: World, *, chunked: bool
) -> None:
    """Beyond what is read before the decision, in either framing, digest in the result."""
    import hashlib

    body = os.urandom(5 * 2**20)
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    with box.tunnel(f"forge.test:{forge.port}") as tls:
        forge.reply = lambda handler, data: (
            handler.send_response(201), handler.send_header("Content-Length", "0"),
            handler.end_headers(),
        )  # fmt: skip
        tls.sendall(request(forge, framing, "Expect: 100-continue", method="POST"))
        assert tls.recv(100).startswith(b"HTTP/1.1 100")
        for start in range(0, len(body), 70_000):
            piece = body[start : start + 70_000]
            tls.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            tls.sendall(b"0\r\n\r\n")
        assert tls.recv(100).startswith(b"HTTP/1.1 201")
    assert forge.seen[0]["body"] == body
    world.until(lambda: len(world.events(EventName.EGRESS_RESULT)) == 1)
    result = world.events(EventName.EGRESS_RESULT)[0]
    assert result.detail["bytes_up"] == len(body)
    assert result.detail["body_sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("chunked", [True, False])
def test_a_placeholder_deep_in_a_large_upload_stops_it(
    box: Any, forge: Any, world: World, placeholder: str, *, chunked: bool
) -> None:
    """Cut over two pieces; the server never has a whole request."""
    body = bytes(3 * 2**20) + placeholder.encode() + bytes(1000)
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    with box.tunnel(f"forge.test:{forge.port}") as tls:
        tls.sendall(request(forge, framing, method="POST"))
        cut = 3 * 2**20 + 10
        answer = b""
        try:
            for piece in (body[:cut], body[cut:]):
                tls.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            answer = tls.recv(10_000)
        except OSError:
            pass
    world.until(lambda: world.denials() == ["placeholder-misplaced"])
    assert b"placeholder-misplaced" in answer or not answer
    assert not forge.seen


def test_a_body_of_unknown_length_is_bounded_while_it_flows(
    world: World, forge: Any, rule: Make
) -> None:
    """The rule's bound holds for chunked bodies too."""
    box = world.open(rule("forge.test", forge.port, max_body_bytes=2 * 2**20))
    with box.tunnel(f"forge.test:{forge.port}") as tls:
        tls.sendall(request(forge, "Transfer-Encoding: chunked", method="POST"))
        try:
            for _ in range(40):
                tls.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        except OSError:
            pass
    world.until(lambda: world.denials() == ["body-too-large"])
    assert not forge.seen


REPLIES = {
    "garbage": (b"hello\r\n\r\n", 502),
    "closed": (b"", 502),
    "cl-and-te": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        502,
    ),
    "two-lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 502),
    "folded": (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", 502),
    "switching": (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", 502),
    "only-interim": (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, 502),
    "interim": (b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
    "http-1.0": (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200),
    "no-content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "odd-status": (b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", 299),
}


@pytest.mark.parametrize("name", REPLIES)
def test_replies_are_read_strictly(box: Any, forge: Any, world: World, name: str) -> None:
    """What cannot be framed for certain is answered with 502 and recorded."""
    raw, status = REPLIES[name]

    def reply(handler: Any, _: bytes) -> None:
        handler.wfile.write(raw)
        handler.close_connection = True

    forge.reply = reply
    answer = send(box, forge)
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    world.until(lambda: len(world.events(EventName.EGRESS_RESULT)) == 1)
    result = world.events(EventName.EGRESS_RESULT)[0]
    assert (result.detail["error"] is None) is (status != 502)
    if name == "http-1.0":
        assert b"until the end" in answer


def test_head_keeps_the_length_and_has_no_body(box: Any, forge: Any) -> None:
    """As the server says it."""
    answer = send(box, forge, method="HEAD")
    assert b"content-length: " in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("kind", ["dead", "untrusted", "wrong-name", "not-tls"])
def test_a_far_side_that_cannot_be_trusted_gets_nothing(
    world: World, start_upstream: Make, rule: Make, use: Make, lease: Make, placeholder: str, kind: str,
    tmp_path: Any,
) -> None:  # fmt: skip
    """Its certificate is checked against the system's roots and the operator's own."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if kind == "wrong-name":
            port = start_upstream("evil.test").port
        if kind == "dead":
            server.close()
        elif kind != "wrong-name":
            context = self_signed(tmp_path) if kind == "untrusted" else None
            threading.Thread(target=serve_once, args=(server, context, got), daemon=True).start()
        box = world.open(rule("forge.test", port), secrets=(use(),), leases=(lease(),))
        line = f"GET / HTTP/1.1\r\nHost: forge.test:{port}\r\nAuthorization: Bearer {placeholder}\r\n\r\n"
        answer = box.fetch(f"forge.test:{port}", line.encode())
    expected = "upstream-unreachable" if kind == "dead" else "upstream-untrusted"
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["error"]["rule"] == expected
    assert not any(b"Authorization" in data for data in got)
    world.until(lambda: len(world.events(EventName.EGRESS_RESULT)) == 1)
    assert world.events(EventName.EGRESS_RESULT)[0].detail["error"] == expected


def self_signed(folder: Any) -> ssl.SSLContext:
    """Give a context whose certificate nobody vouches for."""
    import subprocess

    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:forge.test",
         "-keyout", f"{folder}/k", "-out", f"{folder}/c"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/c", f"{folder}/k")
    return context


def serve_once(server: socket.socket, context: ssl.SSLContext | None, got: list[bytes]) -> None:
    """Take one connection and note what it says."""
    try:
        sock, _ = server.accept()
        with sock:
            if context is None:
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                got.append(sock.recv(1000))
            else:
                got.append(context.wrap_socket(sock, server_side=True).recv(1000))
    except OSError:
        pass
