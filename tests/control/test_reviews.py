"""Who may answer a review, and when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ringfence.control.reviews import (
    Review,
    ReviewKind,
    ReviewStatus,
    has_expired,
    judge_answer,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def review(**changes: object) -> Review:
    """Give a pending review."""
    base = Review(
        id="v1",
        run="r1",
        agent="gate",
        kind=ReviewKind.GATE,
        title="publish?",
        subject={"inputs": [{"name": "report.md", "sha256": "aa"}]},
        requested_by="agent:r1/gate",
        created=NOW,
        expires=NOW + timedelta(days=1),
    )
    return replace(base, **changes)


def judged(one: Review, **changes: object) -> str:
    """Give the rule that answered."""
    call = {"actor": "user:dana", "reason": "read it", "shown_digest": one.digest, "now": NOW}
    return judge_answer(one, **{**call, **changes}).rule


def test_a_person_with_a_reason_may_answer() -> None:
    """The plain case is allowed."""
    one = review()
    decision = judge_answer(
        one, actor="user:dana", reason="read it", shown_digest=one.digest, now=NOW
    )
    assert decision.allowed


@pytest.mark.parametrize("actor", ["agent:r1/gate", "agent:r2/other", "engine", "", "dana"])
def test_only_persons_answer(actor: str) -> None:
    """Whatever an agent presents, it is not a person."""
    assert judged(review(), actor=actor) == "approver-not-a-person"


def test_the_requester_cannot_answer() -> None:
    """Nobody approves what he asked for himself."""
    assert judged(review(requested_by="user:dana")) == "approver-is-requester"


@pytest.mark.parametrize("status", [s for s in ReviewStatus if s is not ReviewStatus.PENDING])
def test_an_answer_is_given_once(status: ReviewStatus) -> None:
    """What is answered or expired stays so."""
    assert judged(review(status=status)) == "review-not-pending"


def test_an_expired_review_is_refused_from_its_last_moment_on() -> None:
    """The bound itself is already too late."""
    one = review()
    assert judged(one, now=one.expires) == "review-expired"
    assert has_expired(one, now=one.expires)
    assert not has_expired(one, now=one.expires - timedelta(microseconds=1))


def test_an_answer_is_bound_to_what_was_shown() -> None:
    """A digest of other content, run or review answers nothing."""
    one = review()
    for other in (review(id="v2"), review(run="r2"), review(subject={"inputs": []})):
        assert judged(one, shown_digest=other.digest) == "approval-invalid"


def test_a_reason_is_required() -> None:
    """White space is no reason."""
    assert judged(review(), reason=" \n") == "review-needs-reason"
