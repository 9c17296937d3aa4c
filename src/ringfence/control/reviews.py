"""Reviews: a person's answer to one exact question, given once.

Invariants:
1. A review is bound to the digest of what was shown; another digest is another question (R6).
2. It is answered once, before it expires, with a reason, by a person who did not ask it.
3. No agent can answer: an actor that is not a person is refused whatever it presents.

Where reviews lie is ``store``; what follows from an answer is the caller's work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ringfence.chain.canonical import digest
from ringfence.chain.words import Json
from ringfence.policy.decision import Decision


class ReviewKind(StrEnum):
    """What the question is about."""

    GATE = "gate"
    REVIEW = "review"
    MERGE = "merge"


class ReviewStatus(StrEnum):
    """Where the question stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One question to a person. ``subject`` is exactly what is approved; its digest binds."""

    id: str
    run: str
    agent: str
    kind: ReviewKind
    title: str
    subject: Mapping[str, Json]
    requested_by: str
    created: datetime
    expires: datetime
    status: ReviewStatus = ReviewStatus.PENDING
    decided_by: str | None = None
    decided: datetime | None = None
    reason: str | None = None
    detail: Mapping[str, Json] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical subject together with the run and the review's id."""
        return digest({"run": self.run, "review": self.id, "subject": dict(self.subject)})

    def to_json(self) -> dict[str, Json]:
        """Give the review as every ``--json`` command prints it."""
        return {
            "id": self.id,
            "run": self.run,
            "agent": self.agent,
            "kind": self.kind.value,
            "title": self.title,
            "digest": self.digest,
            "subject": dict(self.subject),
            "requested_by": self.requested_by,
            "created": self.created.isoformat(),
            "expires": self.expires.isoformat(),
            "status": self.status.value,
            "decided_by": self.decided_by,
            "decided": self.decided.isoformat() if self.decided else None,
            "reason": self.reason,
            "detail": dict(self.detail),
        }


def judge_answer(
    review: Review, *, actor: str, reason: str, shown_digest: str, now: datetime
) -> Decision:
    """Say whether this actor may answer this review now. Never raises for a refusal."""
    if not actor.startswith("user:"):
        return Decision.deny(
            "approver-not-a-person", f"{actor} is not a person", fix="a person has to answer"
        )
    if actor == review.requested_by:
        return Decision.deny(
            "approver-is-requester",
            f"{actor} asked for this review",
            fix="another person has to answer",
        )
    if review.status is not ReviewStatus.PENDING:
        return Decision.deny(
            "review-not-pending",
            f"review {review.id} is already {review.status.value}",
            fix="an answer is given once; start a new run to ask again",
        )
    if now >= review.expires:
        return Decision.deny(
            "review-expired",
            f"review {review.id} expired at {review.expires.isoformat(timespec='seconds')}",
            fix="start a new run to ask again",
        )
    if shown_digest != review.digest:
        return Decision.deny(
            "approval-invalid",
            "what was shown is not what would happen",
            fix=f"look again: ringfence review show {review.id}",
        )
    if not reason.strip():
        return Decision.deny("review-needs-reason", "the reason is empty", fix="give --reason TEXT")
    return Decision.allow("review-answer", f"{actor} answers review {review.id}")


def has_expired(review: Review, *, now: datetime) -> bool:
    """Say whether a pending review can no longer be answered."""
    return review.status is ReviewStatus.PENDING and now >= review.expires
