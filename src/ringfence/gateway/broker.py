"""The egress broker: a process of its own that holds the leases of open steps and nothing else.

Invariants:
1. Its only control is one socket pair end; a box reaches its own listening socket and no more.
2. The socket on which a connection arrives says whose it is; there is no token to steal.
3. A closed step ends at once: listener, connections and leases.
4. A lost control socket, an unreadable message or a missing acknowledgement ends the process.

It never sees the master key, the database or the audit file.
"""

import asyncio
import concurrent.futures.thread  # noqa: F401 - loaded late otherwise, when files are out of reach
import contextlib
import encodings.idna  # noqa: F401 - the same
import gc
import os
import socket
import ssl
from collections.abc import Collection, Coroutine
from datetime import UTC, datetime

from ringfence.audit.record import EventName
from ringfence.chain.words import Json
from ringfence.gateway.authority import Authority
from ringfence.gateway.confine import confine
from ringfence.gateway.dial import Resolver
from ringfence.gateway.journal import Journal
from ringfence.gateway.messages import (
    Message,
    Route,
    Row,
    decode,
    number,
    receive,
    route_from_json,
    table,
    text,
)
from ringfence.gateway.session import Session
from ringfence.gateway.settings import BrokerSettings
from ringfence.gateway.step import Step
from ringfence.gateway.upstream import Services, trust
from ringfence.gateway.wire import Wire
from ringfence.policy.decision import Decision
from ringfence.policy.hosts import parse_host

_CLOSE_SECONDS = 1.0  # for connections of a closed step to say how they ended


def serve(control_fd: int) -> None:
    """Run the broker on its end of the control socket until it is told to stop.

    Raises SystemExit with 1 when the control socket was lost, 2 when the settings are unreadable.
    """
    control = socket.socket(fileno=control_fd)
    try:
        settings = _settings(control)
        context = trust(settings.extra_roots_pem)
    except (ValueError, OSError):
        raise SystemExit(2) from None
    # Touch what is loaded late, while the files are still readable.
    Authority(["warm.invalid"], now=_now()).context(parse_host("warm.invalid"))
    confine(settings.uid)
    # What is loaded by now stays: the collector need not look through it ever again.
    gc.collect()
    gc.freeze()
    control.setblocking(False)  # noqa: FBT003 - the name is the socket's
    raise SystemExit(asyncio.run(_main(control, settings, context)))


def _settings(control: socket.socket) -> BrokerSettings:
    """Read the first message. Raises ValueError, OSError."""
    data, extra = receive(control)
    body = decode(data)
    if extra is not None or body["kind"] != "settings":
        raise ValueError("the first message is not settings")
    return BrokerSettings.from_json(table(body, "settings"))


def _now() -> datetime:
    return datetime.now(UTC)


async def _main(control: socket.socket, settings: BrokerSettings, context: ssl.SSLContext) -> int:
    return await Broker(control, settings, context).run()


class Broker:
    """The broker's control side: opens, closes and counts steps."""

    def __init__(
        self, control: socket.socket, settings: BrokerSettings, context: ssl.SSLContext
    ) -> None:
        self._control = control
        self._limits = settings.limits
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        journal = Journal(control, ack_seconds=settings.limits.ack_seconds, lost=self._lost)
        self._services = Services(
            limits=settings.limits,
            resolver=Resolver(settings.resolver),
            journal=journal,
            trust=context,
        )
        self._steps: dict[tuple[str, str], Step] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._served = 0
        self._turned_away = 0

    async def run(self) -> int:
        """Serve until told to stop (0) or cut off (1)."""
        self._loop.add_reader(self._control, self._readable)
        self._services.journal.send({"kind": "ready", "uid": os.getuid()})
        code = await self._ended
        self._loop.remove_reader(self._control)
        tasks = [task for step in self._steps.values() for task in step.tasks]
        for key in list(self._steps):
            self._close(key)
        await asyncio.gather(*tasks, *self._answering, return_exceptions=True)
        self._services.journal.flush()
        return code

    def _lost(self, why: str) -> None:
        """End everything: without the supervisor nothing may happen."""
        first = not self._ended.done()
        if first:
            self._ended.set_result(1)
        for key in list(self._steps):
            self._close(key)
        if first:
            # Last, unbuffered and allowed to fail: the reader of stderr often died with the
            # supervisor, and an exception must not stand between a lost socket and the end.
            with contextlib.suppress(OSError):
                os.write(2, f"error: broker-stopped: {why}\n".encode())

    def _readable(self) -> None:
        try:
            data, fd = receive(self._control)
            if not data:
                self._lost("the supervisor is gone")
                return
            self._handle(decode(data), fd)
        except BlockingIOError:
            return
        except (ValueError, OSError) as error:
            self._lost(f"unreadable control message ({type(error).__name__})")

    def _handle(self, message: Message, fd: int | None) -> None:
        """Carry out one control message. Raises ValueError for one that does not exist."""
        if (message["kind"] == "attach") != (fd is not None):
            if fd is not None:
                os.close(fd)
            raise ValueError("a listener comes with attach, and only there")
        match message["kind"]:
            case "open":
                self._open(message)
            case "attach" if fd is not None:
                self._answer(self._attach(message, socket.socket(fileno=fd)))
            case "close":
                ended = self._close((text(message, "run"), text(message, "step")))
                self._answer(self._closed(ended))
            case "ack" | "nack":
                written = message["kind"] == "ack"
                self._services.journal.acknowledge(number(message, "id"), written=written)
            case "stats":
                self._services.journal.send({"kind": "stats", **self._stats()})
            case "stop":
                if not self._ended.done():
                    self._ended.set_result(0)
            case _:
                raise ValueError("an unknown control message")

    def _answer(self, work: Coroutine[None, None, None]) -> None:
        """Carry out what ends with an answer to the supervisor."""
        task = self._loop.create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _closed(self, ended: Collection[asyncio.Task[None]]) -> None:
        """Answer once every connection of the step is gone and its last record has left."""
        if ended:
            await asyncio.wait(ended, timeout=_CLOSE_SECONDS)
        self._services.journal.send({"kind": "closed"})

    def _stats(self) -> dict[str, Json]:
        return {
            "steps": len(self._steps),
            "connections": sum(len(step.tasks) for step in self._steps.values()),
            "served": self._served,
            "turned_away": self._turned_away,
        }

    def _open(self, message: Message) -> None:
        """Open a step and answer with the certificate its box has to trust."""
        try:
            step = self._step(route_from_json(table(message, "route")))
        except ValueError as error:
            self._services.journal.send({"kind": "failed", "reason": str(error)})
            return
        self._steps[step.key] = step
        left = (step.route.grant.until - _now()).total_seconds()
        step.expiry = self._loop.call_later(max(0.0, left), self._close, step.key)
        self._services.journal.send({"kind": "opened", "authority": step.authority.pem})

    def _step(self, route: Route) -> Step:
        """Build a step. Raises ValueError when it is open already or names a malformed host."""
        if (route.run, route.step) in self._steps:
            raise ValueError("the step is already open")
        patterns = [rule.host for rule in route.grant.network]
        patterns += [use.host for use in route.grant.secrets]
        authority = Authority(patterns, now=_now())
        return Step(route=route, authority=authority, clock=_now)

    async def _attach(self, message: Message, listener: socket.socket) -> None:
        """Begin to serve an open step on the socket its box listens on."""
        try:
            step = self._steps.get((text(message, "run"), text(message, "step")))
            if step is None or step.server is not None:
                raise ValueError("no step waits for this listener")  # noqa: TRY301 - one answer
            if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise ValueError("the descriptor is no listening socket")  # noqa: TRY301 - same
            listener.setblocking(False)  # noqa: FBT003 - the name is the socket's
            opened = step
            step.server = await self._loop.create_server(
                lambda: Wire(
                    idle=self._limits.idle_seconds, opened=lambda wire: self._accept(opened, wire)
                ),
                sock=listener,
            )
        except (ValueError, OSError) as error:
            listener.close()
            self._services.journal.send({"kind": "failed", "reason": str(error)})
            return
        if step.closed:
            step.server.close()
        self._services.journal.send({"kind": "attached"})

    def _accept(self, step: Step, client: Wire) -> None:
        """Take a connection, unless the step has ended or has too many."""
        if step.closed or len(step.tasks) >= self._limits.connections:
            self._turned_away += 1
            client.abort()
            if not (step.closed or step.crowded):
                step.crowded = True  # once: a flood of connections must not be one of records
                self._services.journal.later(self._crowded(step))
            return
        self._served += 1
        session = Session(services=self._services, step=step, client=client)
        task = self._loop.create_task(session.run())
        step.tasks.add(task)
        task.add_done_callback(step.tasks.discard)

    def _crowded(self, step: Step) -> Row:
        most = self._limits.connections
        decision = Decision.deny("too-many-connections", f"a step has {most} connections at most")
        return step.record(EventName.EGRESS_DENY, subject="connection", decision=decision)

    def _close(self, key: tuple[str, str]) -> Collection[asyncio.Task[None]]:
        """End a step at once; harmless when it has ended. Gives what is still to say so."""
        step = self._steps.pop(key, None)
        if step is None:
            return ()
        step.closed = True
        if step.expiry is not None:
            step.expiry.cancel()
        if step.server is not None:
            step.server.close()
        ended = list(step.tasks)
        for task in ended:
            task.cancel()
        for lease in step.route.leases:
            lease.value.wipe()
        return ended
