# ruff: noqa: ASYNC110 - polls what a callback sets
"""No acknowledgement, no effect."""

import asyncio
import datetime as dt
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import Unavailable
from ringfence.gateway.journal import Journal
from ringfence.gateway.messages import MOST, Row

RECORD = Record(
    time=dt.datetime.now(dt.UTC), event=EventName.EGRESS_ALLOW, actor="broker"
).to_json()


async def received(ours: socket.socket) -> dict[str, Any]:
    """Give the next datagram at the supervisor's end."""
    while True:
        try:
            message: dict[str, Any] = json.loads(ours.recv(MOST, socket.MSG_DONTWAIT))
        except BlockingIOError:
            await asyncio.sleep(0.001)
        else:
            return message


def about(subject: str) -> Row:
    """Make records that can be told apart."""
    return {**RECORD, "subject": subject}


def subjects(message: dict[str, Any]) -> list[str]:
    """Tell the records of a datagram apart."""
    return [record["subject"] for record in message["records"]]


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
        message = await received(ours)
        assert len(message["records"]) == 2
        assert not task.done()
        journal.acknowledge(message["id"], written=True)
        await task

    assert run(story) == []


def test_a_refusal_is_an_exception() -> None:
    """The caller must not go on."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        task = asyncio.create_task(journal.write([RECORD]))
        await received(ours)
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
        journal.flush()

    assert run(closed) == ["the control socket is gone"]


def test_an_acknowledgement_of_nothing_is_an_error() -> None:
    """It would hide a mix-up; a late one for a request that was dropped is fine."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        with pytest.raises(ValueError, match="nothing"):
            journal.acknowledge(7, written=True)
        journal.post([RECORD]).cancel()
        await received(ours)
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


def test_records_of_one_turn_travel_together_and_share_their_fate() -> None:
    """One datagram, one answer; a refusal refuses every request in it."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        tasks = [asyncio.create_task(journal.write([about(name)])) for name in ("a", "b")]
        message = await received(ours)
        assert subjects(message) == ["a", "b"]
        journal.acknowledge(message["id"], written=False)
        for task in tasks:
            with pytest.raises(Unavailable):
                await task

    assert run(story) == []


def test_giving_up_one_request_leaves_its_neighbours_alone() -> None:
    """They wait for the same answer, each for itself."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        dropped, kept = (asyncio.create_task(journal.write([about(name)])) for name in ("a", "b"))
        message = await received(ours)
        dropped.cancel()
        await asyncio.sleep(0)
        assert not kept.done()
        journal.acknowledge(message["id"], written=True)
        await kept

    assert run(story) == []


def test_what_has_happened_travels_with_what_comes_next() -> None:
    """In order, and before any other message."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        journal.later(about("old"))
        journal.post([about("new")])
        assert subjects(await received(ours)) == ["old", "new"]
        journal.later(about("last"))
        journal.send({"kind": "closed"})
        assert subjects(await received(ours)) == ["last"]
        assert (await received(ours))["kind"] == "closed"

    assert run(story) == []


def test_what_has_happened_does_not_wait_for_ever() -> None:
    """Without a next request it leaves by itself, and needs its acknowledgement all the same."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        journal.later(about("a"))
        assert subjects(await received(ours)) == ["a"]
        while not lost:
            await asyncio.sleep(0.001)

    assert run(story, 0.1) == ["no acknowledgement in time"]


def test_a_datagram_is_never_too_long() -> None:
    """What does not fit travels in more; what fits none is refused, or ends the broker."""

    async def story(journal: Journal, ours: socket.socket, lost: list[str]) -> None:
        long = "x" * (MOST // 2 - 500)
        for _ in range(5):
            journal.later(about(long))
        got = [len(subjects(await received(ours))) for _ in range(3)]
        assert got == [2, 1, 2]
        assert not await journal.post([about("x" * MOST)])
        journal.later(about("x" * MOST))
        journal.flush()

    assert run(story) == ["a record is too long"]
