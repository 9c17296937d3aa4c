"""Names are resolved once; what is dialled is what was checked."""

import asyncio
import socket
from typing import Any

import pytest

from ringfence.chain.errors import Unavailable
from ringfence.gateway.dial import Resolver, dial, own_addresses
from ringfence.policy.hosts import parse_host


def resolve(name: str, fixed: dict[str, tuple[str, ...]] | None = None) -> tuple[str, ...]:
    """Resolve one name."""
    return asyncio.run(Resolver(fixed or {}).resolve(parse_host(name), 5))


def test_where_names_come_from() -> None:
    """A literal is itself, the operator's map comes first, then the system."""
    assert resolve("127.0.0.9") == ("127.0.0.9",)
    assert resolve("a.test", {"a.test": ("10.0.0.1", "::1")}) == ("10.0.0.1", "::1")
    assert "127.0.0.1" in resolve("localhost")
    with pytest.raises(Unavailable, match="no address"):
        resolve("nowhere.invalid")


def test_a_flood_of_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs so many, and every one would have to be checked."""

    async def many(*args: object, **more: object) -> list[object]:
        return [(0, 0, 0, "", (f"10.0.0.{n}", 0)) for n in range(40)]

    async def run() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", many)
        await Resolver({}).resolve(parse_host("a.test"), 5)

    with pytest.raises(Unavailable, match="too many"):
        asyncio.run(run())


def test_own_addresses_are_known_without_sending() -> None:
    """Loopback is ours, a public address is not."""
    assert own_addresses(["127.0.0.1", "192.0.2.1", "::1"])[0] == "127.0.0.1"
    assert "192.0.2.1" not in own_addresses(["192.0.2.1"])


def test_the_next_address_is_tried() -> None:
    """And the one that answered is told."""

    async def run() -> str:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            address, wire = await dial(["127.0.0.2", "127.0.0.1"], port, 5, idle=5)
            wire.abort()
            return address

    assert asyncio.run(run()) == "127.0.0.1"


def test_nobody_answers() -> None:
    """Told as unavailable, not as refused."""
    with pytest.raises(Unavailable, match="no address"):
        asyncio.run(dial(["127.0.0.1", "::1"], 9, 5, idle=5))


def test_a_connection_to_another_address_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever led it there (a resolver hook, a NAT rule in the namespace)."""

    async def run(port: int) -> None:
        loop = asyncio.get_running_loop()
        real = loop.create_connection

        async def elsewhere(protocol: Any, host: str, port: int, **more: object) -> object:
            return await real(protocol, "127.0.0.1", port)

        monkeypatch.setattr(loop, "create_connection", elsewhere)
        await dial(["93.184.216.34"], port, 5, idle=5)

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(Unavailable, match="another address"),
    ):
        asyncio.run(run(server.getsockname()[1]))
