"""The supervisor's side of the broker: start it, open and close steps, write its records.

Invariants:
1. A record is acknowledged only after ``on_record`` returned; an exception there is a refusal,
   and the broker then denies the request.
2. A broker is believed about steps that were opened here, and about its own kinds of events only.
3. A broker that dies is noticed; nothing restarts it, because its leases died with it.

``on_record`` and ``on_death`` are called on this object's thread: they must not call back.
"""

import contextlib
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ringfence.audit.record import Record
from ringfence.chain.errors import InputError, InternalError, Unavailable
from ringfence.gateway.authority import bundle_pem, system_roots
from ringfence.gateway.lease import LiveLease
from ringfence.gateway.messages import (
    Message,
    Route,
    decode,
    encode,
    number,
    receive,
    record_from_json,
    route_to_json,
    rows,
    text,
)
from ringfence.gateway.settings import BrokerSettings
from ringfence.policy.grant import Grant

_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRoute:
    """An open step. ``ca_pem`` is the bundle its box trusts, ``authority_pem`` our part of it."""

    run: str
    step: str
    ca_pem: str
    authority_pem: str


class Broker:
    """A running broker process."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        control: socket.socket,
        settings: BrokerSettings,
        on_record: Callable[[Record], None],
        on_death: Callable[[int], None] | None,
    ) -> None:
        self._process = process
        self._control = control
        self._settings = settings
        self._on_record = on_record
        self._on_death = on_death
        self._answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._routes: set[tuple[str, str, str]] = set()
        self._asking = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._listen, name="broker-records", daemon=True)

    @classmethod
    def start(
        cls,
        settings: BrokerSettings,
        on_record: Callable[[Record], None],
        on_death: Callable[[int], None] | None = None,
    ) -> "Broker":
        """Start a broker process and wait until it is ready.

        ``on_death`` is told the exit code of a broker that ended unasked. Raises Unavailable when
        the process does not come up, ValueError when the settings are too large.
        """
        first = encode({"kind": "settings", "settings": settings.to_json()})
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, "-I", "-m", "ringfence.apps.broker", str(theirs.fileno())]
            process = subprocess.Popen(
                argv,
                env={},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
            )
        broker = cls(process, ours, settings, on_record, on_death)
        try:
            ours.send(first)
            broker._thread.start()
            broker._answer("ready", _START_SECONDS)
        except (OSError, Unavailable):
            broker.stop()
            raise Unavailable(
                "broker-unavailable",
                "the egress broker did not start",
                hint="its last words are on stderr",
            ) from None
        return broker

    @property
    def alive(self) -> bool:
        """Say whether the process is running and listening to us."""
        return self._thread.is_alive() and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def open_step(
        self,
        run: str,
        agent: str,
        step: str,
        grant: Grant,
        leases: Sequence[LiveLease],
    ) -> StepRoute:
        """Make one step known to the broker; its box needs the bundle before it can start.

        Raises InputError when the broker refuses the route, Unavailable when it does not answer.
        """
        route = Route(run=run, agent=agent, step=step, grant=grant, leases=tuple(leases))
        try:
            datagram = encode({"kind": "open", "route": route_to_json(route)})
        except ValueError as error:
            raise InputError("route-too-large", str(error), hint="use fewer rules") from None
        with self._asking:
            self._routes.add((run, step, agent))
            answer = self._ask(datagram, "opened")
        authority = text(answer, "authority")
        bundle = bundle_pem(system_roots(), self._settings.extra_roots_pem, authority)
        return StepRoute(run=run, step=step, ca_pem=bundle, authority_pem=authority)

    def attach(self, run: str, step: str, listener_fd: int) -> None:
        """Let the broker serve an open step on its box's listening socket; the caller keeps its fd.

        Raises InputError when no such step waits or the fd does not listen, Unavailable when the
        broker does not answer.
        """
        with self._asking:
            datagram = encode({"kind": "attach", "run": run, "step": step})
            self._ask(datagram, "attached", listener_fd)

    def close_step(self, run: str, step: str) -> None:
        """End a step's route: listener, connections and leases. Harmless when it has ended.

        Raises Unavailable when the broker does not answer; the route is dead then as well.
        """
        with self._asking:
            self._ask(encode({"kind": "close", "run": run, "step": step}), "closed")

    def stats(self) -> dict[str, int]:
        """Give the broker's counters. Raises Unavailable when it does not answer."""
        with self._asking:
            answer = self._ask(encode({"kind": "stats"}), "stats")
        return {name: number(answer, name) for name in answer if name != "kind"}

    def stop(self) -> None:
        """End the process, gently, then by force."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._control.send(encode({"kind": "stop"}))
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        self._control.close()

    def _ask(self, datagram: bytes, kind: str, fd: int | None = None) -> Message:
        """Send one question and wait for its answer; the caller holds the lock."""
        try:
            if fd is None:
                self._control.send(datagram)
            else:
                socket.send_fds(self._control, [datagram], [fd])
        except OSError:
            raise Unavailable("broker-unavailable", "the egress broker is gone") from None
        return self._answer(kind, _ANSWER_SECONDS)

    def _answer(self, kind: str, seconds: float) -> Message:
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self._process.kill()  # a late answer would be taken for the next question's
            raise Unavailable("broker-unavailable", "the egress broker does not answer") from None
        if answer["kind"] == "failed":
            raise InputError("route-refused", f"the broker refused: {answer.get('reason')}")
        if answer["kind"] == "gone":
            self._answers.put(answer)
            raise Unavailable("broker-unavailable", "the egress broker is gone")
        if answer["kind"] != kind:
            raise InternalError("broker-confused", f"the broker answered {answer['kind']}")
        return answer

    def _listen(self) -> None:
        """Take what the broker says until it is gone."""
        try:
            while True:
                data, fd = receive(self._control)
                if not data or fd is not None:
                    break
                message = decode(data)
                if message["kind"] == "record":
                    self._write(message)
                else:
                    self._answers.put(message)
        except (ValueError, OSError):
            pass  # an unreadable broker is as good as dead
        self._answers.put({"kind": "gone"})
        if self._stopping:
            return
        self._process.kill()
        code = self._process.wait()
        if self._on_death is not None:
            self._on_death(code)

    def _write(self, message: Message) -> None:
        """Write one batch of records and say whether that worked. Raises ValueError, OSError."""
        identifier = number(message, "id")
        records = [record_from_json(row) for row in rows(message, "records")]
        kind = "ack"
        try:
            for record in records:
                self._check(record)
                self._on_record(record)
        except Exception:  # noqa: BLE001 - whatever breaks on the way to the disk is a refusal
            kind = "nack"
        self._control.send(encode({"kind": kind, "id": identifier}))

    def _check(self, record: Record) -> None:
        if (record.run, record.step, record.agent) not in self._routes:
            raise InternalError("broker-confused", "a record of a step that was not opened")
