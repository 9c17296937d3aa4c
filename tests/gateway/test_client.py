# ruff: noqa: E501, PLR0917, PT012 - command lines read better in one piece
"""No record, no egress; and the clients people really use get through."""

import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import InputError, InternalError, Unavailable
from ringfence.gateway.client import Broker
from ringfence.gateway.messages import record_from_json

Make = Callable[..., Any]


def get(port: int) -> bytes:
    """Build a request to the forge."""
    return f"GET / HTTP/1.1\r\nHost: forge.test:{port}\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def forge(start_upstream: Make) -> Any:
    """A server of the outside."""
    return start_upstream("forge.test", "pinned.test")


@pytest.mark.parametrize("inspected", [True, False])
def test_no_record_no_egress(world: Any, forge: Any, rule: Make, *, inspected: bool) -> None:
    """A full disk on our side means no on the wire; the broker lives on."""

    def full(record: Record) -> None:
        raise Unavailable("disk-full", "no space left")

    more = {"methods": ("GET",)} if inspected else {}
    box = world.open(rule("forge.test", forge.port, **more))
    world.hooks.append(full)
    if inspected:
        answer = box.fetch(f"forge.test:{forge.port}", get(forge.port))
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"audit-unavailable"' in answer
    else:
        with pytest.raises(OSError, match=r"."):
            box.tunnel(f"forge.test:{forge.port}", verify=False)
    assert not forge.seen
    world.hooks.clear()
    if inspected:
        assert box.fetch(f"forge.test:{forge.port}", get(forge.port)).startswith(b"HTTP/1.1 200")


def test_the_record_is_there_before_the_request(world: Any, forge: Any, rule: Make) -> None:
    """While it is being written, nothing has reached the server."""
    seen: list[int] = []
    world.hooks.append(lambda record: seen.append(len(forge.seen)))
    box = world.open(rule("forge.test", forge.port, methods=("GET",)))
    box.fetch(f"forge.test:{forge.port}", get(forge.port))
    assert seen[0] == 0
    assert world.events()[0].event is EventName.EGRESS_ALLOW
    assert world.events()[0].where == "chain.yaml:7:3"


def test_no_acknowledgement_in_time_ends_the_broker(
    start: Make, settings: Any, forge: Any, rule: Make
) -> None:
    """A supervisor that hangs is no supervisor; the request never gets out."""
    world = start(limits=replace(settings.limits, ack_seconds=0.3))
    release = threading.Event()
    world.hooks.append(lambda record: release.wait(10) and None)
    box = world.open(rule("forge.test", forge.port, methods=("GET",)))
    with pytest.raises(OSError, match=r"."):
        if box.fetch(f"forge.test:{forge.port}", get(forge.port)) == b"":
            raise ConnectionError("closed")
    release.set()
    world.until(lambda: world.deaths == [1])
    assert not forge.seen


def test_a_record_of_a_step_that_was_not_opened_is_not_believed(shared: Any) -> None:
    """A broker that was taken over cannot write into other runs."""
    record = record_from_json({
        "time": "2026-11-21T12:00:00+00:00", "event": "egress.allow", "actor": "broker",
        "run": "other", "step": "writer#1", "agent": "writer",
    })  # fmt: skip
    with pytest.raises(InternalError, match="not opened"):
        shared.broker._check(record)


def test_a_broker_that_cannot_start_is_unavailable(settings: Any) -> None:
    """Roots that are no certificates stop it at once."""
    with pytest.raises(Unavailable):
        Broker.start(replace(settings, extra_roots_pem="nonsense"), lambda record: None)


def test_a_huge_route_is_the_authors_to_cut(world: Any, rule: Make) -> None:
    """It would not fit one control message."""
    rules = [rule(f"host{number}.test", 443) for number in range(2000)]
    with pytest.raises(InputError, match="long"):
        world.open(*rules)
    assert world.broker.alive


def test_the_bundle_has_the_system_roots_the_operators_and_ours(
    world: Any, rule: Make, outside: Any
) -> None:
    """One file serves intercepted and tunnelled hosts."""
    route = world.open(rule("forge.test", 443)).route
    assert route.ca_pem.count("BEGIN CERTIFICATE") > 20
    assert outside.pem.strip() in route.ca_pem
    assert route.ca_pem.endswith(route.authority_pem)


PYTHON = """
import sys, urllib.request as u
asked = u.Request(sys.argv[2], headers={"Authorization": "Bearer " + sys.argv[1]})
print(u.urlopen(asked).read())
"""

CLIENTS = {
    "curl": ["curl", "-sS", "-H", "Authorization: Bearer {p}", "{url}"],
    "wget": ["wget", "-q", "-O", "-", "--header", "Authorization: Bearer {p}", "{url}"],
    "python": [
        sys.executable, "-c",
        PYTHON,
        "{p}", "{url}",
    ],
    "git": ["git", "-c", "http.extraHeader=Authorization: Bearer {p}", "clone", "-q", "{git}", "clone"],
    "pip": [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--isolated", "download", "--no-deps",
        "--no-cache-dir", "-q", "--index-url", "https://user:{p}@forge.test:{port}/simple", "demo",
    ],
}  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("inspected", [True, False])
def test_real_clients_get_through(
    world: Any, forge: Any, rule: Make, use: Make, lease: Make, placeholder: str, value: bytes,
    tmp_path: Path, client: str, *, inspected: bool,
) -> None:  # fmt: skip
    """With nothing but proxy and bundle variables, intercepted with a secret or tunnelled."""
    assert shutil.which(CLIENTS[client][0]), f"{client} is needed for this test"
    more = {"secrets": (use(),), "leases": (lease(),)} if inspected else {}
    box = world.open(rule("forge.test", forge.port), **more)
    bundle = tmp_path / "ca.pem"
    bundle.write_text(box.route.ca_pem)
    serve_files(forge, tmp_path)
    base = f"https://forge.test:{forge.port}"
    fields = {
        "p": placeholder,
        "url": f"{base}/a",
        "git": f"{base}/repo.git",
        "port": str(forge.port),
    }
    argv = [arg if arg is PYTHON else arg.format(**fields) for arg in CLIENTS[client]]
    proxy = f"http://127.0.0.1:{box.address[1]}"
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "PIP_CERT")
    work = tmp_path / "work"
    work.mkdir()
    env = {
        "PATH": os.environ["PATH"],
        "https_proxy": proxy,
        "HOME": str(work),
        **dict.fromkeys(names, str(bundle)),
    }
    if client == "wget":
        (work / ".wgetrc").write_text(f"ca_certificate = {bundle}\n")
    if client == "pip":
        del env["PIP_CERT"]
        argv.insert(argv.index("download") + 1, f"--cert={bundle}")
        argv.insert(argv.index("download") + 1, f"--proxy={proxy}")
    done = subprocess.run(argv, env=env, cwd=work, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert world.denials() == []
    assert len(world.events(EventName.EGRESS_ALLOW)) == (
        len(forge.seen) if inspected else len(world.events(EventName.EGRESS_ALLOW))
    )
    assert value not in done.stdout + done.stderr
    used = {record.subject for record in world.events(EventName.SECRET_USE)}
    assert used == ({"GH_TOKEN"} if inspected else set())


def serve_files(forge: Any, folder: Path) -> None:
    """Let the forge serve a bare repository and a package index, and echo otherwise."""
    source, bare = folder / "source", folder / "repo.git"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    for argv in (
        ["git", "init", "-q", str(source)],
        ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q",
         "--allow-empty", "-m", "first"],
        ["git", "clone", "-q", "--bare", str(source), str(bare)],
        ["git", "-C", str(bare), "update-server-info"],
    ):  # fmt: skip
        subprocess.run(argv, env=env, check=True, capture_output=True)

    def reply(handler: Any, _: bytes) -> None:
        path = handler.path.partition("?")[0]
        file = folder / path.lstrip("/")
        if path == "/simple/demo/":
            data = b'<a href="/files/demo-1.0-py3-none-any.whl">demo-1.0-py3-none-any.whl</a>'
        elif path.startswith("/files/"):
            data = wheel()
        elif path == "/a":
            data = handler.headers["Authorization"].encode()
        elif file.is_file():
            data = file.read_bytes()
        else:
            handler.send_response(404)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(200)
        handler.send_header(
            "Content-Type", "text/html" if path.endswith("/") else "application/octet-stream"
        )
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    forge.reply = reply


def wheel() -> bytes:
    """Give a package that needs nothing else to be downloaded or built."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = "demo-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return out.getvalue()
