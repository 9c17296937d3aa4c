"""A real broker process, real TLS servers on loopback, and boxes that are plain sockets."""

import contextlib
import datetime as dt
import http.server
import ipaddress
import itertools
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import Position
from ringfence.chain.words import Merge, NetworkRule, SecretUse
from ringfence.gateway.client import Broker, StepRoute
from ringfence.gateway.lease import LiveLease
from ringfence.gateway.settings import BrokerLimits, BrokerSettings
from ringfence.policy.grant import Grant
from ringfence.vault.secret import Secret

WHERE = Position(file="chain.yaml", line=7, column=3)
NUMBERS = itertools.count(1)
LOOPBACK = ("127.0.0.0/8",)
VALUE = b"s3cr3t-Value/+of+the+real-key=="
PLACEHOLDER = "rfph_0123456789abcdef0123456789abcd"


def wait_until(ready: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until it is so; fail after a deadline."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@dataclass
class Authority:
    """A certificate authority of the outside world."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    folder: Path

    @property
    def pem(self) -> str:
        """Give the certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server(self, *names: str) -> ssl.SSLContext:
        """Give a server context for names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        general: list[x509.GeneralName] = []
        for name in names:
            try:
                general.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                general.append(x509.DNSName(name))
        now = dt.datetime.now(dt.UTC)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName(general), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        path = self.folder / f"{names[0]}-{leaf.serial_number}.pem"
        path.write_bytes(
            leaf.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that real servers of the tests have their certificates from."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "outside")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate, tmp_path_factory.mktemp("outside"))


@dataclass
class Upstream:
    """A real server of the outside: what it was sent, and where it is."""

    port: int
    seen: list[dict[str, object]] = field(default_factory=list)
    connections: int = 0
    reply: Callable[[http.server.BaseHTTPRequestHandler, bytes], None] | None = None


class Handler(http.server.BaseHTTPRequestHandler):
    """Note each request; echo it as JSON unless the test says otherwise."""

    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def body(self) -> bytes:
        """Read the request body by its framing."""
        if self.headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        size = int(self.headers.get("content-length") or 0)
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionError("a cut body is no request")
        return data

    def answer(self) -> None:
        """Note the request and reply."""
        body = self.body()
        self.upstream.seen.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body,
            }
        )
        if self.upstream.reply is not None:
            self.upstream.reply(self, body)
            return
        data = json.dumps({
            "headers": dict(self.headers.items()), "body": body.decode("latin-1"),
        }).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Alt-Svc", 'h3=":443"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Answer every method alike; http.server looks for ``do_GET`` and the like."""
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)


class Server(http.server.ThreadingHTTPServer):
    """A quiet server that drops broken connections."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests break connections on purpose."""


@pytest.fixture
def start_upstream(outside: Authority) -> Iterator[Callable[..., Upstream]]:
    """Start servers that run until the test is over."""
    running: list[Server] = []

    def start(*names: str, tls: bool = True, address: str = "127.0.0.1", port: int = 0) -> Upstream:
        handler = type("Handler", (Handler,), {})
        server = Server((address, port), handler)
        upstream = handler.upstream = Upstream(port=server.server_address[1])
        if tls:
            server.socket = outside.server(*names).wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        running.append(server)
        return upstream

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@dataclass
class Box:
    """What an agent has: a listening socket of its own step, and the bundle to trust."""

    run: str
    step: str
    listener: socket.socket
    route: StepRoute

    @property
    def address(self) -> tuple[str, int]:
        """Give where the broker listens for this box."""
        return self.listener.getsockname()

    def connect(self) -> socket.socket:
        """Open a connection to the broker."""
        return socket.create_connection(self.address, timeout=10)

    def ask(self, data: bytes) -> bytes:
        """Send raw bytes; give all that comes back until the broker closes."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_all(sock)

    def tunnel(
        self,
        authority: str,
        *,
        sni: str | None = "",
        verify: bool = True,
        first: bytes | None = None,
    ) -> ssl.SSLSocket:
        """CONNECT and start TLS; ``sni`` None sends no server name."""
        sock = self.connect()
        head = first or f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
        sock.sendall(head)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            piece = sock.recv(1)
            if not piece:
                raise ConnectionError(answer)
            answer += piece
        if not answer.startswith(b"HTTP/1.1 200"):
            with sock:
                raise ConnectionError(answer + read_all(sock))
        context = ssl.create_default_context(cadata=self.route.ca_pem)
        if not verify or sni is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        name = authority.rpartition(":")[0] if sni == "" else sni
        try:
            return context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise

    def fetch(self, authority: str, request: bytes, **how: object) -> bytes:
        """CONNECT, speak TLS, send one request, read until the broker closes."""
        with self.tunnel(authority, **how) as tls:
            tls.sendall(request)
            return read_all(tls)


def read_all(sock: socket.socket) -> bytes:
    """Read until the end, or until the peer resets."""
    data = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
        while piece := sock.recv(65536):
            data += piece
    return data


@dataclass
class World:
    """A broker with the records of this test's steps, and a way to open boxes."""

    broker: Broker
    records: list[Record]
    deaths: list[int]
    hooks: list[Callable[[Record], None]]
    boxes: list[Box] = field(default_factory=list)

    def events(self, *names: EventName) -> list[Record]:
        """Give the records of some kinds, or of all."""
        mine = {(box.run, box.step) for box in self.boxes}
        return [
            record
            for record in list(self.records)
            if (record.run, record.step) in mine and (not names or record.event in names)
        ]

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is so."""
        wait_until(ready)

    def denials(self) -> list[str | None]:
        """Give the rules of all denials so far."""
        return [record.rule for record in self.events(EventName.EGRESS_DENY)]

    def open(
        self,
        *rules: NetworkRule,
        secrets: tuple[SecretUse, ...] = (),
        leases: tuple[LiveLease, ...] = (),
        seconds: float = 600,
    ) -> Box:
        """Open a step with a listening socket of its own."""
        run, agent, step = "r1", "writer", f"writer#{next(NUMBERS)}"
        until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
        grant = Grant(
            run=run, agent=agent, until=until, emits=(), network=rules, secrets=secrets,
            env={}, workspace=None, merge=Merge.HOLD, isolation="L3",
        )  # fmt: skip
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        try:
            route = self.broker.open_step(run, agent, step, grant, leases)
            self.broker.attach(run, step, listener.fileno())
        except BaseException:
            listener.close()
            raise
        box = Box(run, step, listener, route)
        self.boxes.append(box)
        return box

    def end(self) -> None:
        """Close the boxes; no value of a lease may stand in any record."""
        for box in self.boxes:
            if self.broker.alive:
                self.broker.close_step(box.run, box.step)
            box.listener.close()
        for record in self.events():
            assert VALUE not in record.canonical()


@pytest.fixture(scope="session")
def settings(outside: Authority) -> BrokerSettings:
    """Settings that know the tests' names and trust the tests' authority."""
    known = ("forge.test", "api.good.test", "evil.test", "cloud.test", "pinned.test", "good.test")
    names = dict.fromkeys(known, ("127.0.0.1",))
    return BrokerSettings(
        resolver={
            **names,
            "private.test": ("10.0.0.8",),
            "meta.test": ("169.254.169.254",),
            "mapped.test": ("::ffff:127.0.0.1",),
            "mixed.test": ("127.0.0.1", "10.0.0.8"),
        },
        extra_roots_pem=outside.pem,
        limits=BrokerLimits(head_seconds=3.0, idle_seconds=20.0, dial_seconds=3.0),
    )


def start_world(settings: BrokerSettings) -> World:
    """Start a broker that writes its records into a list."""
    records: list[Record] = []
    deaths: list[int] = []
    hooks: list[Callable[[Record], None]] = []

    def take(record: Record) -> None:
        for hook in hooks:
            hook(record)
        records.append(record)

    return World(Broker.start(settings, take, deaths.append), records, deaths, hooks)


@pytest.fixture(scope="session")
def shared(settings: BrokerSettings) -> Iterator[World]:
    """One broker for all tests that leave it as it was."""
    made = start_world(settings)
    yield made
    made.broker.stop()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The shared broker, with steps of this test's own."""
    made = World(shared.broker, shared.records, shared.deaths, shared.hooks)
    yield made
    shared.hooks.clear()
    made.end()


@pytest.fixture
def start(settings: BrokerSettings) -> Iterator[Callable[[], World]]:
    """Start brokers that a test may break."""
    made: list[World] = []

    def build(**changes: object) -> World:
        made.append(start_world(replace(settings, **changes)))
        return made[-1]

    yield build
    for each in made:
        each.end()
        each.broker.stop()


@pytest.fixture
def rule() -> Callable[..., NetworkRule]:
    """Build rules that reach loopback."""

    def build(host: str, port: int, **more: object) -> NetworkRule:
        fields: dict[str, object] = {"allow_private": LOOPBACK, "where": WHERE, **more}
        return NetworkRule(host=host, port=port, **fields)  # type: ignore[arg-type]

    return build


@pytest.fixture
def lease() -> Callable[..., LiveLease]:
    """Build leases of the tests' secret."""

    def build(host: str = "forge.test", **more: object) -> LiveLease:
        fields: dict[str, object] = {
            "name": "GH_TOKEN", "version": 3, "slot": "header:authorization",
            "placeholder": PLACEHOLDER, "value": Secret(VALUE),
            "until": dt.datetime.now(dt.UTC) + dt.timedelta(minutes=10), **more,
        }  # fmt: skip
        return LiveLease(host=host, **fields)  # type: ignore[arg-type]

    return build


@pytest.fixture
def use() -> Callable[..., SecretUse]:
    """Build secret bindings of the tests' secret."""

    def build(host: str = "forge.test", **more: object) -> SecretUse:
        fields: dict[str, object] = {"name": "GH_TOKEN", "env": "GH_TOKEN", "where": WHERE, **more}
        return SecretUse(host=host, **fields)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def value() -> bytes:
    """Give the real value of the tests' secret."""
    return VALUE


@pytest.fixture(scope="session")
def placeholder() -> str:
    """Give what stands for it in boxes."""
    return PLACEHOLDER


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait for something with a deadline."""
    return wait_until


@pytest.fixture
def plain_uid() -> int:
    """A uid that is not root, to start things under."""
    return os.getuid() or 1001


def make_hello(name: bytes | None, *, ech: bool = False, twice: bool = False) -> bytes:
    """Build a ClientHello record by hand."""

    def sized(size: int, data: bytes) -> bytes:
        return len(data).to_bytes(size, "big") + data

    extensions = b""
    if name is not None:
        sni = sized(2, b"\0" + sized(2, name))
        extensions += (b"\0\0" + sized(2, sni)) * (2 if twice else 1)
    if ech:
        extensions += b"\xfe\x0d" + sized(2, b"x" * 20)
    body = b"\3\3" + bytes(32) + sized(1, b"") + sized(2, b"\x13\x01") + sized(1, b"\0")
    message = b"\1" + sized(3, body + sized(2, extensions))
    return b"\x16\3\1" + sized(2, message)


@pytest.fixture(scope="session")
def hello() -> Callable[..., bytes]:
    """Build TLS hellos."""
    return make_hello
