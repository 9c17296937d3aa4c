"""A question is asked once, recorded before it can be answered, and bound to its subject."""

from collections.abc import Callable
from typing import Any

import pytest

from ringfence.apps.runner.asking import ask, review_id
from ringfence.chain.errors import Unavailable
from ringfence.control.reviews import ReviewKind

Agent = Callable[..., dict[str, object]]
Read = Callable[[Any], list[dict[str, Any]]]
FIELDS: dict[str, Any] = {
    "key": "gate#1", "step": "a#1", "agent": "a", "kind": ReviewKind.GATE, "title": "go on?",
    "subject": {"inputs": []},
}  # fmt: skip


def pending(world: Any) -> list[Any]:
    """Give the stored questions."""
    state = world.open_state()
    try:
        return list(state.reviews(pending=True))
    finally:
        state.close()


def test_asking_again_changes_nothing(world: Any, agent: Agent, recorded: Read) -> None:
    """After a crash the run asks the same once more: one question, one record."""
    opened = world(agent("a", ""))
    first, again = ask(opened, **FIELDS), ask(opened, **FIELDS)
    assert first.id == again.id
    assert [review.id for review in pending(opened)] == [first.id]
    (record,) = recorded(opened)
    assert (record["event"], record["subject"], record["digest"]) == (
        "review.request", first.id, first.digest,
    )  # fmt: skip


def test_another_subject_has_another_digest(world: Any, agent: Agent) -> None:
    """Also under another key; the id alone says nothing about what is asked."""
    opened = world(agent("a", ""))
    one = ask(opened, **FIELDS)
    two = ask(opened, **{**FIELDS, "key": "gate#2"})
    three = ask(opened, **{**FIELDS, "key": "gate#3", "subject": {"inputs": [1]}})
    assert len({one.digest, two.digest, three.digest}) == 3


def test_ids_differ_between_runs() -> None:
    """An answer to one run's question is no answer to another's."""
    assert review_id("r1", "gate#1") != review_id("r2", "gate#1")
    assert review_id("r1", "1gate") != review_id("r11", "gate")


def test_an_agent_asks_and_never_a_person(world: Any, agent: Agent) -> None:
    """Whoever answers is compared with whoever asked."""
    review = ask(world(agent("a", "")), **FIELDS)
    assert review.requested_by == "agent:r20261121-test/a"
    assert review.expires > review.created


def test_a_question_that_cannot_be_recorded_is_not_asked(world: Any, agent: Agent) -> None:
    """An unrecorded approval would be possible otherwise."""
    opened = world(agent("a", ""))
    opened.audit.close()
    with pytest.raises(Unavailable):
        ask(opened, **FIELDS)
    assert pending(opened) == []
