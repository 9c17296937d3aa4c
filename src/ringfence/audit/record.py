"""One audit record and its canonical bytes.

Invariants:
1. A record is built from plain values; secrets never reach it (the edge scrubs first).
2. The canonical bytes are made once, stored as they are, and hashed as they are.
3. ``event`` is one of `EventName`; retired names stay in the enum.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from ringfence.chain.canonical import canonical_json
from ringfence.chain.words import Json


class EventName(StrEnum):
    """What can stand on the record, as ``thing.act``."""

    RUN_START = "run.start"
    RUN_FINISH = "run.finish"
    RUN_CANCEL = "run.cancel"
    RUN_RESUME = "run.resume"
    STEP_START = "step.start"
    STEP_FINISH = "step.finish"
    STEP_REAP = "step.reap"
    EVENT_EMIT = "event.emit"
    EVENT_DENY = "event.deny"
    EGRESS_ALLOW = "egress.allow"
    EGRESS_DENY = "egress.deny"
    EGRESS_RESULT = "egress.result"
    SECRET_SET = "secret.set"
    SECRET_REMOVE = "secret.remove"
    SECRET_LEASE = "secret.lease"
    SECRET_REVOKE = "secret.revoke"
    SECRET_USE = "secret.use"
    SECRET_DENY = "secret.deny"
    OUTPUT_REDACT = "output.redact"
    GATE_PASS = "gate.pass"
    GATE_FAIL = "gate.fail"
    MERGE_APPLY = "merge.apply"
    MERGE_HELD = "merge.held"
    MERGE_DROP = "merge.drop"
    REVIEW_REQUEST = "review.request"
    REVIEW_APPROVE = "review.approve"
    REVIEW_REJECT = "review.reject"
    REVIEW_EXPIRE = "review.expire"
    REVIEW_INVALID = "review.invalid"
    ISOLATION_REFUSE = "isolation.refuse"
    CONFIG_REJECT = "config.reject"
    SETTING_UNSAFE = "setting.unsafe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One entry. ``decision`` is allow, ask, deny or None when nothing was decided."""

    time: datetime
    event: EventName
    actor: str
    run: str | None = None
    step: str | None = None
    agent: str | None = None
    rule: str | None = None
    decision: str | None = None
    reason: str | None = None
    where: str | None = None
    subject: str | None = None
    digest: str | None = None
    detail: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Give the record as JSON, absent fields left out, time as ISO 8601 UTC (microseconds).

        Raises ValueError for a ``time`` without a zone.
        """
        if self.time.tzinfo is None:
            raise ValueError("an audit time needs a zone")
        body: dict[str, Json] = {
            "v": 1,
            "time": self.time.astimezone(UTC).isoformat(timespec="microseconds"),
            "event": self.event.value,
            "actor": self.actor,
        }
        for name in (
            "run", "step", "agent", "rule", "decision", "reason", "where", "subject", "digest",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None:
                body[name] = value
        if self.detail:
            body["detail"] = dict(self.detail)
        return body

    def canonical(self) -> bytes:
        """Give the bytes that are stored and hashed. Raises ValueError for a naive ``time``."""
        return canonical_json(self.to_json())
