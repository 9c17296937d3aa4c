"""The broker's side of the record: nothing happens before the supervisor has it durably.

Invariants:
1. `write` returns only after the supervisor acknowledged (R8); a refusal raises Unavailable.
2. No acknowledgement within the deadline, or a lost socket, ends the broker: no record, no egress.
3. Records leave in the order in which they were made.
"""

import asyncio
import collections
import itertools
import socket
from collections.abc import Callable, Sequence

from ringfence.audit.record import Record
from ringfence.chain.errors import Unavailable
from ringfence.gateway.messages import Message, encode

_BACKLOG = 4_096  # datagrams waiting for the supervisor; more means it has stopped reading


class Journal:
    """Send records over the control socket and wait for their acknowledgement."""

    def __init__(
        self, control: socket.socket, *, ack_seconds: float, lost: Callable[[str], None]
    ) -> None:
        self._control = control
        self._ack_seconds = ack_seconds
        self._lost = lost
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[bool], asyncio.TimerHandle]] = {}
        self._queue: collections.deque[bytes] = collections.deque()
        self._loop = asyncio.get_running_loop()

    async def write(self, records: Sequence[Record]) -> None:
        """Make records durable. Raises Unavailable when the supervisor could not write them."""
        if not await self.post(records):
            raise Unavailable("audit-unavailable", "the audit record could not be written")

    def post(self, records: Sequence[Record]) -> asyncio.Future[bool]:
        """Send records; the future tells whether they were written."""
        number = next(self._ids)
        done: asyncio.Future[bool] = self._loop.create_future()
        timer = self._loop.call_later(self._ack_seconds, self._lost, "no acknowledgement in time")
        self._waiting[number] = (done, timer)
        self.send(
            {
                "kind": "record",
                "id": number,
                "records": [record.to_json() for record in records],
            }
        )
        return done

    def acknowledge(self, number: int, *, written: bool) -> None:
        """Take the supervisor's answer. Raises ValueError for an answer to nothing."""
        if number not in self._waiting:
            raise ValueError("an acknowledgement of nothing")
        done, timer = self._waiting.pop(number)
        timer.cancel()
        if not done.done():
            done.set_result(written)

    def send(self, message: Message) -> None:
        """Send any control message, in order, without blocking the loop."""
        if len(self._queue) >= _BACKLOG:
            self._lost("the supervisor has stopped reading")
            return
        self._queue.append(encode(message))
        if len(self._queue) == 1:
            self._drain()

    def _drain(self) -> None:
        try:
            while self._queue:
                self._control.send(self._queue[0])
                self._queue.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._control, self._drain)
            return
        except OSError:
            self._lost("the control socket is gone")
            return
        self._loop.remove_writer(self._control)
