# ruff: noqa: S101 - a program of its own, not part of the package
"""What the broker costs: keep-alive requests through interception against a plain tunnel.

Run ``python benchmarks/broker.py``; 20 seconds. The two take turns against one server with the
same clients; no two requests of a connection are alike, so that no cache can answer for the work;
every round is warmed up, because the plain tunnel's CPU per request is about twice as
high in its first seconds. Medians and ranges are printed, never the best round. Every round's count
is checked against the server's own, and the broker's against its records. The broker swaps a
credential, masks the reply, and has every request acknowledged by a supervisor that keeps the
records in memory (no disk).
"""

import asyncio
import datetime as dt
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfence.chain.errors import Position
from ringfence.chain.words import Merge, NetworkRule, SecretUse
from ringfence.gateway.client import Broker
from ringfence.gateway.lease import LiveLease
from ringfence.gateway.settings import BrokerSettings
from ringfence.policy.grant import Grant
from ringfence.vault.secret import Secret

SECONDS = 1.5
WARM = 0.3
ROUNDS = 4
CLIENTS = 8
BODY = b"x" * 200
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + bytes(1024)
PLACEHOLDER = "rfph_0123456789abcdef0123456789abcd"
WHERE = Position(file="chain.yaml", line=1, column=1)


def certificate(folder: Path) -> tuple[str, Path]:
    """Make a self-signed certificate for forge.test; give it as PEM, and with key as a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forge.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("forge.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    path = folder / "server.pem"
    path.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem.decode(), path


def origin(path: str, pipe: Connection) -> None:
    """Be the server: answer every request alike, and tell how many when asked."""
    served = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(BODY))
                served[0] += 1
                writer.write(REPLY)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        pipe.send(server.sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), lambda: pipe.send((pipe.recv(), served[0])))
        await server.serve_forever()

    asyncio.run(main())


def tunnel(port: int, pipe: Connection) -> None:
    """Be the plainest CONNECT proxy: no decision, no record, no look inside."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def load(proxy: int, port: int, bundle: str, seconds: float) -> int:
    """Send requests over kept connections; give how many were answered."""
    context = ssl.create_default_context(cadata=bundle)
    head = (
        f" HTTP/1.1\r\nHost: forge.test:{port}\r\n"
        f"Authorization: Bearer {PLACEHOLDER}\r\n"
        f"User-Agent: bench\r\nAccept: */*\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode()
    end = time.monotonic() + seconds
    done = 0

    async def one() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy)
        authority = f"forge.test:{port}"
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname="forge.test")
        sent = 0
        while time.monotonic() < end:
            sent += 1
            writer.write(b"POST /v1/items/%d%b%b" % (sent, head, BODY))
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1024)
            done += 1
        writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return done


def cpu(pid: int) -> float:
    """Give the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Round(NamedTuple):
    """One measured round of one proxy."""

    done: int
    rps: float
    cpu_ms: float


def measure(pid: int, proxy: int, port: int, bundle: str, server: Connection) -> Round:
    """Measure one round, and check its count with the server's."""
    warm = asyncio.run(load(proxy, port, bundle, WARM))
    before = ask(server) - warm
    used, began = cpu(pid), time.monotonic()
    done = asyncio.run(load(proxy, port, bundle, SECONDS))
    seconds, spent = time.monotonic() - began, cpu(pid) - used
    if ask(server) - before != warm + done:
        raise SystemExit("error: the server counted other requests than the clients")
    return Round(warm + done, done / seconds, 1000 * spent / done)


def ask(server: Connection) -> int:
    """Ask the server for its count."""
    server.send("count")
    return int(server.recv()[1])


def spawn(target: object, argument: object) -> tuple[multiprocessing.Process, Connection, int]:
    """Start a helper process and learn its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=target, args=(argument, theirs), daemon=True
    )
    process.start()
    return process, ours, ours.recv()


def spread(values: list[float], digits: int) -> dict[str, float]:
    """Give median and range."""
    return {
        "median": round(statistics.median(values), digits),
        "low": round(min(values), digits),
        "high": round(max(values), digits),
    }


def main() -> None:
    """Measure both in turn and print one JSON object."""
    records = [0]

    def take(_: object) -> None:
        records[0] += 1

    with tempfile.TemporaryDirectory() as folder:
        pem, path = certificate(Path(folder))
        server, count, port = spawn(origin, str(path))
        plain, _, plain_port = spawn(tunnel, port)
        settings = BrokerSettings(resolver={"forge.test": ("127.0.0.1",)}, extra_roots_pem=pem)
        broker = Broker.start(settings, take)
        until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        rule = NetworkRule(
            host="forge.test", port=port, methods=("POST",), paths=("/v1/**",),
            allow_private=("127.0.0.0/8",), where=WHERE,
        )  # fmt: skip
        grant = Grant(
            run="r", agent="a", until=until, emits=(), network=(rule,),
            secrets=(SecretUse(name="T", host="forge.test", env="T", where=WHERE),),
            env={}, workspace=None, merge=Merge.HOLD, isolation="",
        )  # fmt: skip
        lease = LiveLease(
            name="T", version=1, host="forge.test", slot="header:authorization",
            placeholder=PLACEHOLDER, until=until,
            value=Secret(b"real-value-of-the-token-0123456789"),
        )  # fmt: skip
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            route = broker.open_step("r", "a", "a#1", grant, (lease,))
            broker.attach("r", "a#1", listener.fileno())
            figures: dict[str, list[Round]] = {"tunnel": [], "broker": []}
            for _ in range(ROUNDS):
                figures["tunnel"].append(measure(plain.pid or 0, plain_port, port, pem, count))
                figures["broker"].append(
                    measure(broker.pid, listener.getsockname()[1], port, route.ca_pem, count)
                )
        broker.stop()
        plain.terminate()
        server.terminate()
    if records[0] != 3 * sum(each.done for each in figures["broker"]):
        raise SystemExit("error: there are requests without their three records")
    pairs = list(zip(figures["broker"], figures["tunnel"], strict=True))
    result: dict[str, object] = {
        name: {
            "requests_per_second": spread([each.rps for each in rounds], 0),
            "cpu_ms_per_request": spread([each.cpu_ms for each in rounds], 3),
        }
        for name, rounds in figures.items()
    }
    result["ratio"] = {
        "requests_per_second": spread([ours.rps / base.rps for ours, base in pairs], 2),
        "cpu_per_request": spread([ours.cpu_ms / base.cpu_ms for ours, base in pairs], 1),
    }
    sys.stdout.write(json.dumps({**result, "records": records[0]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
