"""Everything one run is carried out with: opened once by the runner, handed to each step."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ringfence.apps.plans import Facts
from ringfence.apps.settings import DataDir
from ringfence.audit.record import EventName, Record
from ringfence.chain.words import Chain, Json
from ringfence.policy.decision import Decision

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ringfence.audit.log import AuditLog
    from ringfence.control.runs import RunRow
    from ringfence.engine.box import BoxBackend
    from ringfence.gateway.client import Broker
    from ringfence.store.secrets import SecretStore
    from ringfence.store.state import StateStore


@dataclass(slots=True, kw_only=True)
class World:
    """The open doors of one run. Stores that belong to one thread are opened by whoever asks."""

    data: DataDir
    row: "RunRow"
    chain: Chain
    facts: Facts
    audit: "AuditLog"
    backend: "BoxBackend"
    broker: "Broker"
    stopping: dict[str, threading.Event] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    found: dict[str, list[Json]] = field(default_factory=dict)

    @staticmethod
    def now() -> datetime:
        """Give the time."""
        return datetime.now(UTC)

    def issues(self, agent: str) -> list[Json]:
        """Give what an agent's gate found, as JSON objects."""
        return self.found.get(agent, [])

    def open_state(self) -> "StateStore":
        """Open the state database for the calling thread."""
        from ringfence.store.state import StateStore  # noqa: PLC0415 - one instance a thread

        return StateStore(self.data.state)

    def open_secrets(self) -> "AbstractContextManager[SecretStore]":
        """Open the vault for the calling thread."""
        from ringfence.apps.opening import open_secrets  # noqa: PLC0415 - one instance a thread

        return open_secrets(self.data)

    def record(
        self,
        event: EventName,
        *,
        agent: str | None = None,
        attempt: int | None = None,
        decision: Decision | None = None,
        subject: str | None = None,
        digest: str | None = None,
        actor: str | None = None,
        **detail: Json,
    ) -> None:
        """Make one record of this run durable. Raises Unavailable, and then nothing may happen."""
        step = f"{agent}#{attempt}" if agent and attempt else None
        if decision is not None and decision.fix:
            detail = {**detail, "fix": decision.fix}
        self.audit.append(
            [
                Record(
                    time=datetime.now(UTC),
                    event=event,
                    actor=actor or "engine",
                    run=self.row.id,
                    step=step,
                    agent=agent,
                    rule=decision.rule if decision else None,
                    decision=decision.verdict.value if decision else None,
                    reason=decision.reason if decision else None,
                    where=str(decision.where) if decision and decision.where else None,
                    subject=subject,
                    digest=digest,
                    detail=detail,
                )
            ]
        )

    def stop_event(self, agent: str) -> threading.Event:
        """Give the event that asks an agent's step to end."""
        with self.lock:
            return self.stopping.setdefault(agent, threading.Event())
