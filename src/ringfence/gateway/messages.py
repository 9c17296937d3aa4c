"""The control socket between supervisor and broker: its messages and their wire form.

Invariants:
1. One datagram is one JSON object, at most `MOST` bytes, with at most one file descriptor.
2. Both ends read strictly: an unknown kind or field closes the socket, and with it every route.
3. A grant crosses with what the broker needs and no more: rules, secret bindings, end time.
4. This is the only channel with real values; it is a socket pair that no box can name.
"""

import array
import base64
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from ringfence.audit.record import EventName, Record
from ringfence.chain.canonical import canonical_json
from ringfence.chain.errors import Position
from ringfence.chain.words import Action, Delivery, Json, Merge, NetworkRule, SecretUse
from ringfence.gateway.lease import LiveLease
from ringfence.policy.grant import Grant
from ringfence.vault.secret import Secret

MOST = 200_000  # below Linux' default socket buffer, so that one datagram always fits

Message = Mapping[str, Json]
Row = dict[str, Json]  # a record on the control socket, as `audit.record.Record.to_json` gives it

_ROWS = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)

# What a broker may say happened; anything else in its name is not believed.
BROKER_EVENTS = frozenset({
    EventName.EGRESS_ALLOW, EventName.EGRESS_DENY, EventName.EGRESS_RESULT,
    EventName.SECRET_USE, EventName.SECRET_DENY,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is opened for one step."""

    run: str
    agent: str
    step: str
    grant: Grant
    leases: tuple[LiveLease, ...]


def encode(message: Message) -> bytes:
    """Give the datagram of a message. Raises ValueError when it is too long."""
    data = canonical_json(dict(message))
    if len(data) > MOST:
        raise ValueError("a control message is too long")
    return data


def encode_rows(number: int, rows: Sequence[Row]) -> bytes:
    """Give the datagram of records, which may be too long. One pass over all of them."""
    return b'{"id":%d,"kind":"record","records":%b}' % (number, _ROWS.encode(rows).encode("ascii"))


def decode(data: bytes) -> Message:
    """Read a datagram. Raises ValueError when it is no JSON object with a kind."""
    value = json.loads(data)
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ValueError("a control message has no kind")  # noqa: TRY004 - one kind for callers
    return value


def receive(sock: socket.socket) -> tuple[bytes, int | None]:
    """Take one datagram and the descriptor that came with it; no bytes at the end.

    Raises ValueError for a cut or over-equipped datagram, OSError as sockets do.
    """
    data, ancillary, flags, _ = sock.recvmsg(MOST + 1, socket.CMSG_SPACE(4 * 4))
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if len(fds) > 1 or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for fd in fds:
            os.close(fd)
        raise ValueError("a control message is cut or carries too much")
    return data, fds[0] if fds else None


def text(body: Message, name: str) -> str:
    """Give a text field. Raises ValueError when it is missing or something else."""
    value = body.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing or no text")  # noqa: TRY004 - one kind for callers
    return value


def number(body: Message, name: str) -> int:
    """Give an integer field. Raises ValueError when it is missing or something else."""
    value = body.get(name)
    if type(value) is not int:
        raise ValueError(f"{name} is missing or no integer")
    return value


def table(body: Message, name: str) -> dict[str, Json]:
    """Give an object field. Raises ValueError when it is missing or something else."""
    value = body.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is missing or no object")  # noqa: TRY004 - one kind for callers
    return value


def rows(body: Message, name: str) -> list[dict[str, Json]]:
    """Give a list of objects. Raises ValueError when it is missing or something else."""
    value = body.get(name)
    if not isinstance(value, list):
        raise ValueError(f"{name} is missing or no list")  # noqa: TRY004 - one kind for callers
    found = [item for item in value if isinstance(item, dict)]
    if len(found) != len(value):
        raise ValueError(f"{name} holds something other than objects")
    return found


def texts(body: Message, name: str) -> tuple[str, ...]:
    """Give a list of texts. Raises ValueError when it is missing or something else."""
    value = body.get(name)
    if not isinstance(value, list):
        raise ValueError(f"{name} is missing or no list")  # noqa: TRY004 - one kind for callers
    found = tuple(item for item in value if isinstance(item, str))
    if len(found) != len(value):
        raise ValueError(f"{name} holds something other than texts")
    return found


def route_to_json(route: Route) -> dict[str, Json]:
    """Give a route as JSON, with the real values of its leases."""
    return {
        "run": route.run,
        "agent": route.agent,
        "step": route.step,
        "until": route.grant.until.isoformat(),
        "network": [_rule_to_json(rule) for rule in route.grant.network],
        "secrets": [asdict(use) for use in route.grant.secrets],
        "leases": [
            {
                "name": lease.name,
                "version": lease.version,
                "host": lease.host,
                "slot": lease.slot,
                "placeholder": lease.placeholder,
                "value": base64.b64encode(lease.value.reveal()).decode("ascii"),
                "until": lease.until.isoformat(),
            }
            for lease in route.leases
        ],
    }


def route_from_json(body: Message) -> Route:
    """Read a route. Raises ValueError for anything malformed."""
    run, agent = text(body, "run"), text(body, "agent")
    grant = Grant(
        run=run,
        agent=agent,
        until=_time(body, "until"),
        emits=(),
        network=tuple(_rule_from_json(rule) for rule in rows(body, "network")),
        secrets=tuple(_use_from_json(use) for use in rows(body, "secrets")),
        env={},
        workspace=None,
        merge=Merge.HOLD,
        isolation="",
    )
    leases = tuple(_lease_from_json(lease) for lease in rows(body, "leases"))
    return Route(run=run, agent=agent, step=text(body, "step"), grant=grant, leases=leases)


def _time(body: Message, name: str) -> datetime:
    time = datetime.fromisoformat(text(body, name))
    if time.tzinfo is None:
        raise ValueError(f"{name} has no zone")
    return time


def _rule_to_json(rule: NetworkRule) -> dict[str, Json]:
    return {
        "host": rule.host,
        "port": rule.port,
        "scheme": rule.scheme,
        "methods": list(rule.methods),
        "paths": list(rule.paths),
        "max_body_bytes": rule.max_body_bytes,
        "graphql_operations": list(rule.graphql_operations),
        "allow_private": list(rule.allow_private),
        "action": rule.action.value,
        "where": asdict(rule.where),
    }


def _rule_from_json(body: Message) -> NetworkRule:
    limit = body.get("max_body_bytes")
    return NetworkRule(
        host=text(body, "host"),
        port=number(body, "port"),
        scheme=text(body, "scheme"),
        methods=texts(body, "methods"),
        paths=texts(body, "paths"),
        max_body_bytes=None if limit is None else number(body, "max_body_bytes"),
        graphql_operations=texts(body, "graphql_operations"),
        allow_private=texts(body, "allow_private"),
        action=Action(text(body, "action")),
        where=_place(table(body, "where")),
    )


def _place(body: Message) -> Position:
    return Position(
        file=text(body, "file"),
        line=number(body, "line"),
        column=number(body, "column"),
        width=number(body, "width"),
        text=text(body, "text"),
    )


def _use_from_json(body: Message) -> SecretUse:
    return SecretUse(
        name=text(body, "name"),
        host=text(body, "host"),
        slot=text(body, "slot"),
        env=text(body, "env"),
        delivery=Delivery(text(body, "delivery")),
        where=_place(table(body, "where")),
    )


def _lease_from_json(body: Message) -> LiveLease:
    return LiveLease(
        name=text(body, "name"),
        version=number(body, "version"),
        host=text(body, "host"),
        slot=text(body, "slot"),
        placeholder=text(body, "placeholder"),
        value=Secret(base64.b64decode(text(body, "value"), validate=True)),
        until=_time(body, "until"),
    )


def record_from_json(body: Message) -> Record:
    """Read a record that a broker made. Raises ValueError for one it has no say in."""
    event = EventName(text(body, "event"))
    if event not in BROKER_EVENTS:
        raise ValueError(f"a broker has no say in {event}")
    optional = {
        name: text(body, name)
        for name in ("rule", "decision", "reason", "where", "subject", "digest")
        if name in body
    }
    return Record(
        time=_time(body, "time"),
        event=event,
        actor=text(body, "actor"),
        run=text(body, "run"),
        step=text(body, "step"),
        agent=text(body, "agent"),
        detail=table(body, "detail") if "detail" in body else {},
        **optional,
    )
