"""The broker's side of the record: nothing happens before the supervisor has it durably.

Invariants:
1. `write` returns only after the supervisor acknowledged (R8); a refusal raises Unavailable.
2. No acknowledgement within the deadline, or a lost socket, ends the broker: no record, no egress.
3. Records leave in the order in which they were made.

What is made in one turn of the loop leaves in one datagram with one acknowledgement: when that is
a refusal, every request in it is refused. What has happened already (`later`) waits for the next
datagram, `_LATER` seconds at most.
"""

import asyncio
import collections
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ringfence.chain.errors import Unavailable
from ringfence.gateway.messages import MOST, Message, Row, encode, encode_rows

_BACKLOG = 4_096  # datagrams waiting for the supervisor; more means it has stopped reading
_LATER = 0.05  # seconds; long enough to travel with the next request of a busy connection


class _Group(NamedTuple):
    """Records that stand or fall together, and who waits for them."""

    rows: Sequence[Row]
    asker: asyncio.Future[bool] | None


class Journal:
    """Send records over the control socket and wait for their acknowledgement."""

    def __init__(
        self, control: socket.socket, *, ack_seconds: float, lost: Callable[[str], None]
    ) -> None:
        self._control = control
        self._ack_seconds = ack_seconds
        self._lost = lost
        self._ids = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, tuple[list[asyncio.Future[bool]], float]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._groups: list[_Group] = []
        self._soon: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._queue: collections.deque[bytes] = collections.deque()
        self._blocked = False

    async def write(self, rows: Sequence[Row]) -> None:
        """Make records durable. Raises Unavailable when the supervisor could not write them."""
        if not await self.post(rows):
            raise Unavailable("audit-unavailable", "the audit record could not be written")

    def post(self, rows: Sequence[Row]) -> asyncio.Future[bool]:
        """Send records at the end of this turn of the loop; the future tells of their fate."""
        asker: asyncio.Future[bool] = self._loop.create_future()
        self._groups.append(_Group(rows, asker))
        if self._soon is None:
            self._soon = self._loop.call_soon(self.flush)
        return asker

    def later(self, row: Row) -> None:
        """Send a record of what has happened with the next ones, or in a moment."""
        self._groups.append(_Group((row,), None))
        if self._soon is None and self._late is None:
            self._late = self._loop.call_later(_LATER, self.flush)

    def flush(self) -> None:
        """Send what is waiting to be sent."""
        for handle in (self._soon, self._late):
            if handle is not None:
                handle.cancel()
        self._soon = self._late = None
        if self._groups:
            groups, self._groups = self._groups, []
            self._dispatch(groups)

    def _dispatch(self, groups: list[_Group]) -> None:
        """Send groups in one datagram if they fit, in more if not."""
        number = next(self._ids)
        data = encode_rows(number, [row for group in groups for row in group.rows])
        if len(data) > MOST:
            if len(groups) == 1:
                self._refuse(groups[0])
                return
            half = len(groups) // 2
            self._dispatch(groups[:half])
            self._dispatch(groups[half:])
            return
        askers = [group.asker for group in groups if group.asker is not None]
        self._waiting[number] = (askers, self._loop.time() + self._ack_seconds)
        if self._watch is None:
            self._watch = self._loop.call_later(self._ack_seconds, self._overdue)
        self._send(data)

    def _refuse(self, group: _Group) -> None:
        """Deny what cannot be told; when it has happened already, end everything."""
        if group.asker is None:
            self._lost("a record is too long")
        elif not group.asker.done():
            group.asker.set_result(False)

    def _overdue(self) -> None:
        """End everything when the oldest datagram has waited too long; else come back for it."""
        self._watch = None
        if not self._waiting:
            return
        _, due = next(iter(self._waiting.values()))
        if due <= self._loop.time():
            self._lost("no acknowledgement in time")
        else:
            self._watch = self._loop.call_at(due, self._overdue)

    def acknowledge(self, number: int, *, written: bool) -> None:
        """Take the supervisor's answer. Raises ValueError for an answer to nothing."""
        if number not in self._waiting:
            raise ValueError("an acknowledgement of nothing")
        askers, _ = self._waiting.pop(number)
        for done in askers:
            if not done.done():  # its request may have been dropped meanwhile
                done.set_result(written)

    def send(self, message: Message) -> None:
        """Send any control message, after the records made before it, without blocking the loop."""
        data = encode(message)
        self.flush()
        self._send(data)

    def _send(self, data: bytes) -> None:
        if len(self._queue) >= _BACKLOG:
            self._lost("the supervisor has stopped reading")
            return
        self._queue.append(data)
        if not self._blocked:
            self._drain()

    def _drain(self) -> None:
        try:
            while self._queue:
                self._control.send(self._queue[0])
                self._queue.popleft()
        except BlockingIOError:
            if not self._blocked:
                self._blocked = True
                self._loop.add_writer(self._control, self._drain)
            return
        except OSError:
            self._lost("the control socket is gone")
            return
        if self._blocked:
            self._blocked = False
            self._loop.remove_writer(self._control)
