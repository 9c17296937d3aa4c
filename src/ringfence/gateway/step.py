"""What the broker holds for one open step, and how it looks at requests of that step."""

import asyncio
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from ringfence.audit.record import EventName
from ringfence.chain.errors import Refused
from ringfence.chain.words import Json
from ringfence.gateway.authority import Authority
from ringfence.gateway.messages import Route, Row
from ringfence.gateway.redact import Needles
from ringfence.gateway.swap import needles_of
from ringfence.policy.decide import decide_closed
from ringfence.policy.decision import Decision
from ringfence.policy.effect import Effect


class Clock(Protocol):
    """Tells the time, with its zone."""

    def __call__(self) -> datetime:
        """Give the present moment."""


@dataclass(slots=True, kw_only=True)
class Step:
    """An open step: its route, what it would be bad to see, and its live connections."""

    route: Route
    authority: Authority
    clock: Clock
    placeholders: Needles = field(init=False)
    values: Needles = field(init=False)
    _same: Row = field(init=False)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    server: asyncio.Server | None = None
    expiry: asyncio.TimerHandle | None = None
    closed: bool = False
    crowded: bool = False  # a connection was turned away and that is on the record

    def __post_init__(self) -> None:
        run, step, agent = self.route.run, self.route.step, self.route.agent
        self._same = {"v": 1, "actor": "broker", "run": run, "step": step, "agent": agent}
        self.placeholders = needles_of(self.route.leases)
        self.values = Needles((lease.name, lease.value.reveal()) for lease in self.route.leases)

    @property
    def key(self) -> tuple[str, str]:
        """What tells steps apart."""
        return self.route.run, self.route.step

    def decide(self, effect: Effect) -> Decision:
        """Decide under this step's grant; a closed step is denied everything."""
        if self.closed:
            return Decision.deny("step-closed", "the step has ended")
        return decide_closed(effect, self.route.grant, now=self.clock())

    def record(
        self,
        event: EventName,
        *,
        subject: str,
        decision: Decision | None = None,
        detail: dict[str, Json] | None = None,
    ) -> Row:
        """Build a record of this step, as it crosses the control socket."""
        time = self.clock().astimezone(UTC).isoformat(timespec="microseconds")
        row: Row = {**self._same, "time": time, "event": event, "subject": subject}
        if decision is not None:
            row["rule"] = decision.rule
            row["decision"] = decision.verdict
            row["reason"] = decision.reason
            if decision.where is not None:
                row["where"] = str(decision.where)
        more: dict[str, Json] = dict(detail or {})
        if decision is not None and decision.fix:
            more["fix"] = decision.fix
        if event is EventName.EGRESS_DENY:
            # A refusal before the request was read whole has no number of its own yet.
            more.setdefault("id", secrets.token_hex(8))
        if more:
            row["detail"] = more
        return row


def refuse(decision: Decision) -> Refused:
    """Turn a refusal into the exception that carries it to the door."""
    return Refused(decision.rule, decision.reason, hint=decision.fix, where=decision.where)


def require(decision: Decision) -> Decision:
    """Give back an allowing decision. Raises Refused for any other.

    A request that a rule holds for a person is refused here: nobody can answer on this wire yet.
    """
    if decision.allowed:
        return decision
    if decision.rule == "network-hold":
        raise Refused(
            "hold-unanswered",
            "a person has to allow this request and nobody can be asked while it waits",
            hint="change the rule's action to allow, or do the request in a reviewed step",
            where=decision.where,
        )
    raise refuse(decision)
