# ruff: noqa: E501, PLR0917, PT012 - fixtures are arguments; what breaks off may break at either call
"""The process: it ends what it is told to end, and itself when nobody listens."""

import contextlib
import datetime as dt
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringfence.audit.record import EventName
from ringfence.chain.errors import InputError, Unavailable
from ringfence.chain.words import Merge
from ringfence.gateway.messages import encode
from ringfence.policy.grant import Grant

Make = Callable[..., Any]


def get(port: int, *lines: str) -> bytes:
    """Build a request to the forge."""
    head = ["GET / HTTP/1.1", f"Host: forge.test:{port}", *lines]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


@pytest.fixture
def slow(start_upstream: Make) -> Any:
    """A server that sends a first byte and then waits until it is let go."""
    upstream = start_upstream("forge.test", "pinned.test")
    upstream.go = threading.Event()

    def reply(handler: Any, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"a")
        upstream.go.wait(10)
        handler.wfile.write(b"b")

    upstream.reply = reply
    yield upstream
    upstream.go.set()


@pytest.mark.parametrize("inspected", [True, False])
def test_closing_a_step_ends_its_traffic_at_once(
    world: Any, slow: Any, rule: Make, *, inspected: bool
) -> None:
    """Running replies and tunnels break off, the record says why, the listener is gone."""
    more = {"methods": ("GET",)} if inspected else {}
    box = world.open(rule("forge.test", slow.port, **more))
    with box.tunnel(f"forge.test:{slow.port}", verify=inspected) as tls:
        tls.sendall(get(slow.port))
        got = b""
        while not got.endswith(b"\r\n\r\na"):
            got += tls.recv(1)
        world.broker.close_step(box.run, box.step)
        slow.go.set()
        rest = b""
        with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
            rest = tls.recv(1)
        assert rest == b""
    world.until(lambda: len(world.events(EventName.EGRESS_RESULT)) == 1)
    assert world.events(EventName.EGRESS_RESULT)[0].detail["error"] == "revoked"


def test_a_closed_step_takes_no_connection(world: Any, slow: Any, rule: Make) -> None:
    """Nobody answers on its socket any more, and closing again is harmless."""
    box = world.open(rule("forge.test", slow.port))
    world.broker.close_step(box.run, box.step)
    world.broker.close_step(box.run, box.step)
    with box.connect() as sock:
        sock.settimeout(0.3)
        with pytest.raises((TimeoutError, ConnectionError)):
            sock.sendall(b"CONNECT forge.test:443 HTTP/1.0\r\n\r\n")
            if sock.recv(1) == b"":
                raise ConnectionError
    assert world.broker.stats()["steps"] == 0


def test_the_end_of_a_grant_closes_its_step(world: Any, slow: Any, rule: Make) -> None:
    """Also for what is still running."""
    box = world.open(rule("forge.test", slow.port, methods=("GET",)), seconds=1.0)
    with box.tunnel(f"forge.test:{slow.port}") as tls:
        tls.sendall(get(slow.port))
        assert tls.recv(1)
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            while tls.recv(100):
                pass
            raise ConnectionResetError
    deadline = time.monotonic() + 5
    while world.broker.stats()["steps"]:
        assert time.monotonic() < deadline


def test_a_placeholder_is_worth_nothing_on_another_steps_socket(
    world: Any, slow: Any, rule: Make, use: Make, lease: Make, placeholder: str, value: bytes
) -> None:
    """The socket says whose a request is: the thief's request goes out unswapped."""
    slow.reply = None
    world.open(rule("forge.test", slow.port), secrets=(use(),), leases=(lease(),))
    thief = world.open(rule("forge.test", slow.port, methods=("GET",)))
    thief.fetch(
        f"forge.test:{slow.port}",
        get(slow.port, f"Authorization: Bearer {placeholder}", "Connection: close"),
    )
    assert all(value.decode() not in seen["headers"]["authorization"] for seen in slow.seen)
    assert not world.events(EventName.SECRET_USE)


def test_a_killed_broker_takes_everything_with_it(start: Make, slow: Any, rule: Make) -> None:
    """Running traffic ends, new connections get nothing, the supervisor is told."""
    world = start()
    box = world.open(rule("forge.test", slow.port, methods=("GET",)))
    with box.tunnel(f"forge.test:{slow.port}") as tls:
        tls.sendall(get(slow.port))
        assert tls.recv(1)
        os.kill(world.broker.pid, signal.SIGKILL)
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            while tls.recv(100):
                pass
            raise ConnectionResetError
    world.until(lambda: world.deaths == [-signal.SIGKILL])
    assert not world.broker.alive
    with pytest.raises(Unavailable):
        world.broker.stats()


@pytest.mark.parametrize("with_stderr", [True, False])
def test_a_lost_supervisor_ends_the_broker(settings: Any, *, with_stderr: bool) -> None:
    """Also when the reader of its last words died with the supervisor, as it does in real life.

    A broker whose farewell raised once stayed behind, busy, with its steps open.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reading, writing = os.pipe()
    with theirs:
        process = spawn(theirs, writing)
    os.close(writing)
    ours.send(encode({"kind": "settings", "settings": settings.to_json()}))
    assert b"ready" in ours.recv(1000)
    if not with_stderr:
        os.close(reading)
    ours.close()
    try:
        assert process.wait(10) == 1
    finally:
        process.kill()
        process.wait()
        if with_stderr:
            assert b"broker-stopped" in os.read(reading, 1000)
            os.close(reading)


@pytest.mark.parametrize(
    "data", [b"{}", b"x", encode({"kind": "stop"}), encode({"kind": "settings", "settings": {}})]
)
def test_unreadable_settings_start_nothing(data: bytes) -> None:
    """Exit code 2, before anything listens."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = spawn(theirs)
        ours.send(data)
        assert process.wait(10) == 2


@pytest.mark.parametrize(
    "data",
    [b"nonsense", encode({"kind": "unknown"}), encode({"kind": "ack", "id": 7}), encode({"kind": "attach"})],
)  # fmt: skip
def test_an_unreadable_message_ends_the_broker(settings: Any, data: bytes) -> None:
    """Better no egress than a broker that guesses."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = spawn(theirs)
        ours.send(encode({"kind": "settings", "settings": settings.to_json()}))
        assert b"ready" in ours.recv(1000)
        ours.send(data)
        assert process.wait(10) == 1


def spawn(control: socket.socket, stderr: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """Start a broker process by hand."""
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "ringfence.apps.broker", str(control.fileno())],
        env={}, pass_fds=(control.fileno(),), stderr=stderr,
    )  # fmt: skip


def test_the_broker_holds_no_privilege(world: Any) -> None:
    """Its own uid when we are root, no groups, no dumps, no new privileges."""
    lines = Path(f"/proc/{world.broker.pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    uids, gids = status["Uid"].split(), status["Gid"].split()
    if os.getuid() == 0:
        assert set(uids) == set(gids) == {"199999"}
        assert status["Groups"].strip() == ""
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert Path(f"/proc/{world.broker.pid}/environ").stat().st_uid == 0  # not dumpable
    else:
        assert set(uids) == {str(os.getuid())}
        with pytest.raises(PermissionError):
            Path(f"/proc/{world.broker.pid}/environ").read_bytes()
    assert status["NoNewPrivs"].strip() == "1"


def test_a_descriptor_that_does_not_listen_is_refused(world: Any, rule: Make) -> None:
    """So is a listener no step waits for, a second one, a step twice, a rule without a host."""
    box = world.open(rule("forge.test", 443))
    world.broker.open_step("r1", "a", "a#1", *grant_of(world, rule("a.test", 1)))
    with socket.socket() as idle, pytest.raises(InputError, match="listening"):
        world.broker.attach("r1", "a#1", idle.fileno())
    with socket.create_server(("127.0.0.1", 0)) as server:
        for run, step in (("r1", "a#9"), (box.run, box.step)):
            with pytest.raises(InputError, match="no step waits"):
                world.broker.attach(run, step, server.fileno())
    with pytest.raises(InputError, match="already"):
        world.broker.open_step("r1", "a", "a#1", *grant_of(world, rule("a.test", 1)))
    with pytest.raises(InputError, match="label"):
        world.broker.open_step("r1", "a", "a#2", *grant_of(world, rule("a..b", 1)))
    world.broker.close_step("r1", "a#1")


def grant_of(world: Any, *rules: Any) -> tuple[Any, tuple[()]]:
    """Give a grant without secrets, and no leases."""
    return Grant(
        run="r1", agent="a", until=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1), emits=(),
        network=rules, secrets=(), env={}, workspace=None, merge=Merge.HOLD, isolation="",
    ), ()  # fmt: skip


def test_connections_of_a_step_are_bounded(start: Make, settings: Any, rule: Make) -> None:
    """One step cannot take them all, and another step still gets its own."""
    world = start(limits=replace(settings.limits, connections=2))
    first, second = world.open(rule("forge.test", 443)), world.open(rule("forge.test", 443))
    held = [first.connect() for _ in range(2)]
    world.until(lambda: world.broker.stats()["connections"] == 2)
    assert first.ask(b"") == b""
    assert b"no-rule" in second.ask(b"CONNECT other.test:443 HTTP/1.0\r\n\r\n")
    assert world.broker.stats()["turned_away"] == 1
    for sock in held:
        sock.close()


def test_five_hundred_connections_meet_a_bound(world: Any, slow: Any, rule: Make) -> None:
    """A step gets 64, the rest is dropped at once and told once; then there is room again."""
    box = world.open(rule("forge.test", slow.port, methods=("GET",)))
    turned_away = world.broker.stats()["turned_away"]
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(box.connect())
        world.until(lambda: world.broker.stats()["turned_away"] == turned_away + 436)
        assert world.broker.stats()["connections"] == 64
    world.until(lambda: world.broker.stats()["connections"] == 0)
    world.until(lambda: world.denials() == ["too-many-connections"])
    slow.reply = None
    assert b" 200 " in box.fetch(f"forge.test:{slow.port}", get(slow.port, "Connection: close"))


def test_a_closed_step_has_told_everything(world: Any, slow: Any, rule: Make) -> None:
    """How its requests ended is on the record when the close is answered, not some time later."""
    box = world.open(rule("forge.test", slow.port, methods=("GET",)))
    with box.tunnel(f"forge.test:{slow.port}") as tls:
        tls.sendall(get(slow.port))
        assert tls.recv(1)
        assert not world.events(EventName.EGRESS_RESULT)
        world.broker.close_step(box.run, box.step)
        assert len(world.events(EventName.EGRESS_RESULT)) == 1
        slow.go.set()
