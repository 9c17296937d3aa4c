# ruff: noqa: ASYNC110 - polls what a callback sets
"""No acknowledgement, no effect."""

import asyncio
import datetime as dt
import json
import socket
from collections.abc import Awaitable, Callable

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import Unavailable
from ringfence.gateway.journal import Journal

RECORD = Record(time=dt.datetime.now(dt.UTC), event=EventName.EGRESS_ALLOW, actor="broker")


def run(
    story: Callable[[Journal, socket.socket, list[str]], Awaitable[None]], seconds: float = 5.0
) -> list[str]:
    """Play a story with a journal and the supervisor's end of its socket; give what was lost."""
    lost: list[str] = []

    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            theirs.settimeout(0)
            journal = Journal(theirs, ack_seconds=seconds, lost=lost.append)
            async with asyncio.timeout(10):
                await story(journal, ours, lost)

    asyncio.run(main())
    return lost


def test_write_returns_after_the_acknowledgement() -> None:
    """Not before."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        task = asyncio.create_task(journal.write([RECORD, RECORD]))
        await asyncio.sleep(0)
        message = json.loads(ours.recv(10_000))
        assert len(message["records"]) == 2
        assert not task.done()
        journal.acknowledge(message["id"], written=True)
        await task

    assert run(story) == []


def test_a_refusal_is_an_exception() -> None:
    """The caller must not go on."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        task = asyncio.create_task(journal.write([RECORD]))
        await asyncio.sleep(0)
        journal.acknowledge(1, written=False)
        with pytest.raises(Unavailable):
            await task

    assert run(story) == []


def test_silence_and_a_closed_socket_are_losses() -> None:
    """Either ends the broker."""

    async def silent(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        journal.post([RECORD])
        while not lost:
            await asyncio.sleep(0.001)

    assert run(silent, 0.01) == ["no acknowledgement in time"]

    async def closed(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        ours.close()
        journal.post([RECORD])

    assert run(closed) == ["the control socket is gone"]


def test_an_acknowledgement_of_nothing_is_an_error() -> None:
    """It would hide a mix-up; a late one for a request that was dropped is fine."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        with pytest.raises(ValueError, match="nothing"):
            journal.acknowledge(7, written=True)
        journal.post([RECORD]).cancel()
        journal.acknowledge(1, written=True)

    assert run(story) == []


def test_a_slow_supervisor_gets_everything_in_order() -> None:
    """Datagrams wait, up to a bound, and then the broker gives up."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        for number in range(3_000):
            journal.send({"kind": "x", "number": number})
        for number in range(3_000):
            while True:
                try:
                    data = ours.recv(1000, socket.MSG_DONTWAIT)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.001)
            assert json.loads(data)["number"] == number
        while not lost:
            journal.send({"kind": "x"})

    assert run(story)[0] == "the supervisor has stopped reading"
