import socket

import pytest

from ringfence.apps.replay.addresses import HOSTS, Addresses, reserved
from ringfence.chain.errors import Unavailable


def test_blocks_never_meet() -> None:
    """Two workers' servers have no address in common, and all are loopback."""
    first, second = Addresses(block=1), Addresses(block=2)
    assert not set(first.names().values()) & set(second.names().values())
    assert all(address.startswith("127.1.0.") for address in first.names().values())


def test_a_stranger_has_no_address() -> None:
    """A name that is no replay server is an error, not somewhere on the network."""
    with pytest.raises(KeyError):
        Addresses().of("example.com")


def test_taken_ports_move_the_whole_set() -> None:
    """Where a usual port is in use the next set is tried, and servers can listen there."""
    with reserved() as usual:
        pass
    with socket.socket() as blocker:
        blocker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        blocker.bind((usual.of("forge.test"), usual.http))
        blocker.listen()
        with reserved() as moved:
            pass
    assert moved.https > usual.https
    assert moved.names().keys() == HOSTS.keys()


def test_no_free_set_is_an_error_that_names_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """When every set is taken the user is told which port and how to see who has it."""

    def refuse(_: Addresses) -> None:
        raise OSError

    monkeypatch.setattr("ringfence.apps.replay.addresses._try", refuse)
    with pytest.raises(Unavailable) as caught, reserved():
        pass
    assert ":8443" in caught.value.message
    assert "sport" in caught.value.hint


def test_two_replays_at_once_get_different_ports() -> None:
    """Also before either of them listens."""
    with reserved() as first, reserved() as second:
        assert first.https != second.https
