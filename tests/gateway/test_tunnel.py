"""Tunnels: to the host that was named, recorded, carried both ways."""

from collections.abc import Callable
from typing import Any

import pytest

from ringfence.audit.record import EventName

Make = Callable[..., Any]


def test_a_tunnel_carries_the_servers_own_tls(world: Any, start_upstream: Make, rule: Make) -> None:
    """The client sees the real certificate; the record has name, address and sizes."""
    pinned = start_upstream("pinned.test")
    box = world.open(rule("pinned.test", pinned.port))
    with box.tunnel(f"pinned.test:{pinned.port}") as tls:
        issuer = dict(pair[0] for pair in tls.getpeercert()["issuer"])
        tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert tls.recv(100).startswith(b"HTTP/1.1 200")
        while tls.recv(1000):
            pass
    assert issuer == {"commonName": "outside"}
    allow = world.events(EventName.EGRESS_ALLOW)[0]
    assert allow.subject == f"CONNECT https://pinned.test:{pinned.port}"
    assert (allow.detail["address"], allow.detail["sni"]) == ("127.0.0.1", "pinned.test")
    world.until(lambda: len(world.events(EventName.EGRESS_RESULT)) == 1)
    result = world.events(EventName.EGRESS_RESULT)[0]
    assert result.detail["id"] == allow.detail["id"]
    assert int(str(result.detail["bytes_up"])) > 200
    assert int(str(result.detail["bytes_down"])) > 200


def test_a_literal_address_is_tunnelled_only_where_listed(
    world: Any, start_upstream: Make, rule: Make
) -> None:
    """And then without a server name, as clients do it."""
    pinned = start_upstream("127.0.0.1")
    box = world.open(rule("127.0.0.1", pinned.port))
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b" 200 " in box.fetch(f"127.0.0.1:{pinned.port}", request)
    with pytest.raises(ConnectionError, match="no-rule"):
        box.tunnel(f"127.0.0.2:{pinned.port}")


def test_a_dead_far_side_ends_the_tunnel(world: Any, start_upstream: Make, rule: Make) -> None:
    """The client was told yes already, so it only sees the end; the record has the reason."""
    box = world.open(rule("pinned.test", 9))
    with pytest.raises(OSError, match=r"."):
        box.tunnel("pinned.test:9")
    world.until(lambda: len(world.events(EventName.EGRESS_RESULT)) == 1)
    assert world.events(EventName.EGRESS_RESULT)[0].detail["status"] == 0


def test_a_name_without_an_address_is_told(world: Any, rule: Make) -> None:
    """Before the client is told yes."""
    box = world.open(rule("nowhere.invalid", 443))
    with pytest.raises(ConnectionError, match="name-unknown"):
        box.tunnel("nowhere.invalid:443")
    assert world.denials() == ["name-unknown"]
