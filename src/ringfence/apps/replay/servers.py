"""The outside world of a replay: every server on its own loopback address, in one thread.

Invariants:
1. Every request is appended to ``<name>.jsonl`` before it is answered: raw bytes, SNI, Host, peer.
2. A port that is taken is an error that names it; no server is ever left out quietly.
3. Nothing outlives ``with Servers(...)``: the thread and every socket end with the block.

evil.test takes whatever it is sent: HTTP with and without TLS, mail, raw bytes, DNS queries.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from weakref import WeakKeyDictionary

from ringfence.apps.replay import certificates
from ringfence.apps.replay.addresses import HOSTS, Addresses, taken
from ringfence.apps.replay.cloud import Cloud
from ringfence.apps.replay.forge import Forge
from ringfence.apps.replay.wire import MAX_BODY, MAX_HEAD, Reply, Request, read_request

Answer = Callable[[Request], Reply]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One logged arrival: protocol, bytes as they came, and for DNS the name asked for."""

    protocol: str
    raw: bytes
    host: str = ""
    sni: str = ""
    name: str = ""


class Servers:
    """The servers of one replay, running while the block is entered."""

    def __init__(
        self, directory: Path, forge: Forge, cloud: Cloud, addresses: Addresses | None = None
    ) -> None:
        self.directory = directory
        self.forge = forge
        self.cloud = cloud
        self.addresses = addresses or Addresses()
        self.authority = directory / "authority.pem"
        self.waiting = threading.Event()
        self._release = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="replay-servers")
        self._closers: list[Callable[[], None]] = []
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._sni: WeakKeyDictionary[object, str] = WeakKeyDictionary()

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        _, server = certificates.write(self.directory, list(HOSTS))
        for host in HOSTS:
            self._log_file(host).touch()
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(server), self._loop).result(timeout=10)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def arrivals(self, host: str) -> list[Arrival]:
        """Give what a server got so far, in order of arrival."""
        found = []
        for line in self._log_file(host).read_text().splitlines():
            entry = json.loads(line)
            found.append(
                Arrival(
                    protocol=entry["protocol"],
                    raw=entry["raw"].encode("latin-1"),
                    host=entry["host"],
                    sni=entry["sni"],
                    name=entry["name"],
                )
            )
        return found

    def release(self) -> None:
        """Let every request to ``/wait`` be answered, those still to come too."""
        self._loop.call_soon_threadsafe(self._release.set)

    def _log_file(self, host: str) -> Path:
        return self.directory / f"{host.removesuffix('.test')}.jsonl"

    def _log(self, server: str, peer: str, arrival: Arrival) -> None:
        entry = {
            "protocol": arrival.protocol,
            "peer": peer,
            "sni": arrival.sni,
            "host": arrival.host,
            "name": arrival.name,
            "raw": arrival.raw.decode("latin-1"),
        }
        with self._log_file(server).open("a") as log:
            log.write(json.dumps(entry) + "\n")

    async def _open(self, server: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server)
        context.sni_callback = self._note_sni
        answers: dict[str, Answer] = {
            "forge.test": self.forge.answer,
            "cloud.test": self.cloud.answer,
            "evil.test": lambda _: Reply(body={"thanks": True}),
        }
        at = self.addresses
        for host, answer in answers.items():
            await self._listen(host, at.https, self._http(host, answer), context)
            await self._listen(host, at.http, self._http(host, answer))
        await self._listen("evil.test", at.raw, self._collect("raw", b""))
        await self._listen("evil.test", at.smtp, self._collect("smtp", b"220 evil.test\r\n"))
        try:
            transport, _ = await self._loop.create_datagram_endpoint(
                lambda: _Names(self._log), local_addr=(at.of("evil.test"), at.dns)
            )
        except OSError as error:
            raise taken(at.of("evil.test"), at.dns, str(error)) from error
        self._closers.append(transport.close)

    async def _listen(
        self,
        host: str,
        port: int,
        serve: Serve,
        context: ssl.SSLContext | None = None,
    ) -> None:
        address = self.addresses.of(host)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                await serve(reader, writer)
            writer.close()

        # Not a coroutine: the connection is known from the moment it is made, so it can be ended.
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(talk(reader, writer))
            self._talks[task] = writer
            task.add_done_callback(self._talks.pop)

        try:
            server = await asyncio.start_server(
                connected, address, port, ssl=context, limit=MAX_HEAD
            )
        except OSError as error:
            raise taken(address, port, str(error)) from error
        self._closers.append(server.close)

    def _http(self, server: str, answer: Answer) -> Serve:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tls = writer.get_extra_info("ssl_object")
            while (request := await read_request(reader)) is not None:
                arrival = Arrival(
                    protocol="https" if tls else "http",
                    raw=request.raw,
                    host=request.header("host"),
                    sni=self._sni.get(tls, "") if tls else "",
                )
                self._log(server, str(writer.get_extra_info("peername")), arrival)
                if request.target == "/wait":
                    self.waiting.set()
                    await self._release.wait()
                writer.write(answer(request).wire())
                await writer.drain()

        return serve

    def _collect(self, protocol: str, greeting: bytes) -> Serve:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = str(writer.get_extra_info("peername"))
            writer.write(greeting)
            size = 0
            while size < MAX_BODY and (data := await reader.read(MAX_HEAD)):
                size += len(data)
                self._log("evil.test", peer, Arrival(protocol=protocol, raw=data))
                writer.write(b"250 ok\r\n")
                await writer.drain()

        return serve

    def _note_sni(self, tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        self._sni[tls] = name or ""

    def _stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _close(self) -> None:
        # A server that is closed while a connection is being accepted loses the socket unclosed
        # (seen in Python 3.11), so what is under way is let in first.
        for _ in range(3):
            accepting = asyncio.all_tasks() - {asyncio.current_task()} - self._talks.keys()
            if not accepting:
                break
            await asyncio.wait(accepting, timeout=1)
        for close in self._closers:
            close()
        for writer in self._talks.values():
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A transport closes its socket in a callback of the loop; give it the turns that takes.
        for _ in range(5):
            await asyncio.sleep(0)


class _Names(asyncio.DatagramProtocol):
    """A name server that knows nothing and remembers every question."""

    def __init__(self, log: Callable[[str, str, Arrival], None]) -> None:
        self._log = log
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11 does not make its own datagram transport an instance of the class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        arrival = Arrival(protocol="dns", raw=data, name=question(data))
        self._log("evil.test", str(addr), arrival)
        if self._transport is not None and len(data) >= 12:
            self._transport.sendto(data[:2] + b"\x81\x83" + data[4:], addr)


def question(packet: bytes) -> str:
    """Give the name a DNS query asks for; empty when the packet is no query."""
    labels: list[str] = []
    at = 12
    while at < len(packet) and (length := packet[at]):
        labels.append(packet[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    return ".".join(labels)
