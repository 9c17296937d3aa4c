import http.client
import socket
import ssl
import threading
from pathlib import Path

import pytest

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.servers import Servers, question
from ringfence.apps.replay.world import World
from ringfence.chain.errors import Unavailable


def get(world: World, host: str, path: str, **headers: str) -> tuple[int, bytes]:
    """Fetch a path over TLS, trusting the replay authority alone."""
    context = ssl.create_default_context(cafile=str(world.servers.authority))
    link = http.client.HTTPConnection(host, timeout=10)
    plain = socket.create_connection((world.addresses.of(host), world.addresses.https), timeout=10)
    link.sock = context.wrap_socket(plain, server_hostname=host)
    link.request("GET", path, headers=headers)
    reply = link.getresponse()
    answer = (reply.status, reply.read())
    link.close()
    return answer


def test_requests_are_logged_raw_with_sni_and_host(world: World) -> None:
    """What the oracle searches is what came over the wire."""
    assert get(world, "evil.test", "/loot?x=%41", cookie="a=b") == (200, b'{"thanks": true}')
    (arrival,) = world.servers.arrivals("evil.test")
    assert (arrival.protocol, arrival.sni, arrival.host) == ("https", "evil.test", "evil.test")
    assert arrival.raw.startswith(b"GET /loot?x=%41 HTTP/1.1\r\n")
    assert b"cookie: a=b" in arrival.raw


def test_the_forge_wants_its_token(world: World) -> None:
    """The servers check credentials, so a placeholder is worth nothing to them."""
    assert get(world, "forge.test", "/x")[0] == 401
    token = f"token {world.canaries.gh.value}"
    assert get(world, "forge.test", "/x", authorization=token)[0] == 404


@pytest.mark.parametrize(("port", "protocol"), [("raw", "raw"), ("smtp", "smtp")])
def test_evil_takes_any_bytes(world: World, port: str, protocol: str) -> None:
    """Raw bytes and mail are collected as they come."""
    place = (world.addresses.of("evil.test"), getattr(world.addresses, port))
    with socket.create_connection(place, timeout=10) as link:
        link.sendall(b"\x00\xff loot")
        link.shutdown(socket.SHUT_WR)
        while link.recv(100):
            pass
    (arrival,) = world.servers.arrivals("evil.test")
    assert (arrival.protocol, arrival.raw) == (protocol, b"\x00\xff loot")


def test_evil_remembers_names_asked_for(world: World) -> None:
    """A DNS query is logged with its name and answered that there is no such name."""
    query = b"\x13\x37\x01\x00\x00\x01" + b"\0" * 6 + b"\x03abc\x04evil\x04test\0\0\x01\0\x01"
    with socket.socket(type=socket.SOCK_DGRAM) as link:
        link.settimeout(10)
        link.sendto(query, (world.addresses.of("evil.test"), world.addresses.dns))
        assert link.recv(512)[:4] == b"\x13\x37\x81\x83"
    (arrival,) = world.servers.arrivals("evil.test")
    assert arrival.name == "abc.evil.test"


def test_waiting_ends_when_released(world: World) -> None:
    """A scenario can hold a request until the moment it needs."""
    answers: list[tuple[int, bytes]] = []
    asker = threading.Thread(target=lambda: answers.append(get(world, "forge.test", "/wait")))
    asker.start()
    assert world.servers.waiting.wait(timeout=10)
    assert not answers
    world.servers.release()
    asker.join(timeout=10)
    assert [status for status, _ in answers] == [401]


def test_a_taken_port_is_named(world: World, tmp_path: Path, addresses: Addresses) -> None:
    """A second set at the same addresses says which port is in the way, and leaves nothing."""
    before = threading.active_count()
    other = Servers(tmp_path / "other", world.servers.forge, world.servers.cloud, addresses)
    with pytest.raises(Unavailable) as caught, other:
        pass
    assert f"{addresses.of('forge.test')}:{addresses.https}" in caught.value.message
    assert threading.active_count() == before


def test_nothing_outlives_the_block(tmp_path: Path, world: World) -> None:
    """After the block the ports are free again, even with a connection still open."""
    at = Addresses(block=world.addresses.block + 50)
    with Servers(tmp_path / "again", world.servers.forge, world.servers.cloud, at):
        held = socket.create_connection((at.of("evil.test"), at.raw), timeout=10)
    with held, pytest.raises(ConnectionRefusedError):
        socket.create_connection((at.of("evil.test"), at.raw), timeout=10)


def test_a_short_packet_is_no_question() -> None:
    """Rubbish sent to the name server has no name."""
    assert question(b"\x00\x01") == ""
