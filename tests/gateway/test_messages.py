"""Control messages: read strictly, one datagram each."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringfence.chain.errors import Position
from ringfence.chain.words import Action, Delivery, Merge, NetworkRule, SecretUse
from ringfence.gateway.messages import (
    MOST,
    Route,
    decode,
    encode,
    receive,
    record_from_json,
    route_from_json,
    route_to_json,
    text,
)
from ringfence.policy.grant import Grant

WHERE = Position(file="chain.yaml", line=1, column=2, text="x")


@pytest.fixture
def route(lease: Callable[..., Any]) -> Route:
    """A route that uses every field."""
    made = lease()
    rule = NetworkRule(
        host="a.test", port=8443, scheme="http", methods=("GET",), paths=("/a",),
        max_body_bytes=5, graphql_operations=("x",), allow_private=("10.0.0.0/8",),
        action=Action.HOLD, where=WHERE,
    )  # fmt: skip
    use = SecretUse(
        name="T", host="a.test", slot="header:x", env="T", delivery=Delivery.UNSAFE_ENV, where=WHERE
    )
    grant = Grant(
        run="r", agent="a", until=made.until, emits=("a:b",), network=(rule,), secrets=(use,),
        env={"A": "b"}, workspace=None, merge=Merge.AUTO, isolation="L3",
    )  # fmt: skip
    return Route(run="r", agent="a", step="a#1", grant=grant, leases=(made,))


def test_a_route_survives_the_trip(route: Route, value: bytes) -> None:
    """With what the broker needs, and not the rest of the grant."""
    body = json.loads(json.dumps(route_to_json(route)))
    back = route_from_json(body)
    assert back.grant.network == route.grant.network
    assert back.grant.secrets == route.grant.secrets
    assert back.grant.until == route.grant.until
    assert back.leases[0].value.reveal() == value
    assert (back.grant.env, back.grant.emits, back.grant.isolation) == ({}, (), "")
    unbounded = {**body, "network": [{**body["network"][0], "max_body_bytes": None}]}
    assert route_from_json(unbounded).grant.network[0].max_body_bytes is None


@pytest.mark.parametrize(
    "change",
    [
        {"run": 1}, {"until": "2026-01-01T00:00:00"}, {"until": "soon"}, {"network": {}},
        {"network": [1]}, {"network": [{}]}, {"secrets": None}, {"leases": "x"},
        {"network": [{"host": "a", "port": "1"}]},
        {"network": [{"host": "a", "port": 1, "scheme": "https", "methods": "GET"}]},
        {"network": [{"host": "a", "port": 1, "scheme": "https", "methods": [1]}]},
    ],
)  # fmt: skip
def test_a_malformed_route_is_refused(route: Route, change: dict[str, Any]) -> None:
    """No field is guessed."""
    with pytest.raises(ValueError, match=r"\S"):
        route_from_json({**route_to_json(route), **change})


def test_a_rule_without_a_place_is_refused(route: Route) -> None:
    """Every denial names one."""
    body = json.loads(json.dumps(route_to_json(route)))
    del body["network"][0]["where"]
    with pytest.raises(ValueError, match="where"):
        route_from_json(body)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"kind":1}', b"\xff", b"{"])
def test_a_datagram_is_an_object_with_a_kind(data: bytes) -> None:
    """Anything else closes the socket."""
    with pytest.raises(ValueError, match=r"\S"):
        decode(data)


def test_a_message_has_a_size() -> None:
    """One that would not fit a datagram is not made."""
    with pytest.raises(ValueError, match="long"):
        encode({"kind": "x", "text": "a" * MOST})


def test_descriptors_travel_one_by_one() -> None:
    """More than one are closed and refused, and so is a cut datagram."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(b"a")
        assert receive(theirs) == (b"a", None)
        socket.send_fds(ours, [b"b"], [ours.fileno()])
        data, fd = receive(theirs)
        assert data == b"b"
        assert fd is not None
        os.close(fd)
        before = len(list(Path("/proc/self/fd").iterdir()))
        socket.send_fds(ours, [b"c"], [ours.fileno(), theirs.fileno()])
        with pytest.raises(ValueError, match="too much"):
            receive(theirs)
        ours.send(b"d" * (MOST + 2))
        with pytest.raises(ValueError, match="cut"):
            receive(theirs)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


RECORD = {
    "v": 1, "time": "2026-11-21T12:00:00.000000+00:00", "event": "egress.deny", "actor": "broker",
    "run": "r", "step": "a#1", "agent": "a", "rule": "no-rule", "decision": "deny",
    "reason": "x", "where": "f:1:1", "subject": "GET https://a:443/", "detail": {"id": "1"},
}  # fmt: skip


def test_a_record_survives_the_trip() -> None:
    """Byte for byte in its canonical form."""
    assert record_from_json(RECORD).to_json() == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"event": "run.start"}, {"event": "review.approve"}, {"event": "nonsense"},
        {"time": "2026-11-21T12:00:00"}, {"run": None}, {"detail": []}, {"reason": 5},
    ],
)  # fmt: skip
def test_a_broker_cannot_say_just_anything(change: dict[str, Any]) -> None:
    """Only its own kinds of events, well-formed."""
    with pytest.raises(ValueError, match=r"\S"):
        record_from_json({**RECORD, **change})


def test_a_text_is_a_text() -> None:
    """And a missing one is an error."""
    with pytest.raises(ValueError, match="name"):
        text({}, "name")
