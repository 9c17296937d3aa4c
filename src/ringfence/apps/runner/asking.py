"""Putting a question to a person: stored once, recorded, bound to what it is about."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta

from ringfence.apps.runner.progress import tell
from ringfence.apps.runner.world import World
from ringfence.audit.record import EventName
from ringfence.chain.words import Json
from ringfence.control.reviews import Review, ReviewKind

REVIEW_LIFETIME = timedelta(days=7)


def review_id(run: str, key: str) -> str:
    """Give the id of a run's question: the same on every replay, unguessable from outside."""
    return "v" + hashlib.sha256(f"{run}\0{key}".encode()).hexdigest()[:10]


def ask(
    world: World,
    *,
    key: str,
    step: str,
    agent: str,
    kind: ReviewKind,
    title: str,
    subject: Mapping[str, Json],
) -> Review:
    """Store and record a question; asking the same again changes nothing."""
    now = world.now()
    review = Review(
        id=review_id(world.row.id, key),
        run=world.row.id,
        agent=agent,
        kind=kind,
        title=title,
        subject=subject,
        requested_by=f"agent:{world.row.id}/{agent}",
        created=now,
        expires=now + REVIEW_LIFETIME,
        detail={"key": key, "step": step},
    )
    state = world.open_state()
    try:
        known = {r.id for r in state.reviews(run=world.row.id)}
        if review.id not in known:
            world.record(
                EventName.REVIEW_REQUEST,
                agent=agent,
                subject=review.id,
                digest=review.digest,
                kind=kind.value,
                title=title,
                expires=review.expires.isoformat(),
            )
            state.add_review(review)
            tell("review", agent=agent, review=review.id, title=title, review_kind=kind.value)
    finally:
        state.close()
    return review
