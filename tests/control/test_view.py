"""What the view answers without being asked twice."""

from collections.abc import Callable

from ringfence.audit.record import EventName, Record
from ringfence.control.view import RunView

E = EventName


def test_blocked_counts_each_refusal_as_often_as_it_happened(
    read: Callable[..., RunView], record: Callable[..., Record]
) -> None:
    """The same refusal twice is one line and counts two."""
    refusal = record(E.EVENT_DENY, agent="a", subject="x:y", rule="r", decision="deny")
    view = read(refusal, refusal, record(E.MERGE_HELD, agent="a", subject="p", decision="ask"))
    assert [d.times for d in view.denied] == [2]
    assert view.blocked == 2
    assert [d.subject for d in view.asked] == ["p"]


def test_open_reviews_and_held_changes_wait(
    read: Callable[..., RunView], record: Callable[..., Record]
) -> None:
    """What nobody has decided waits; what was decided does not."""
    view = read(
        record(E.MERGE_HELD, subject="a", digest="1", decision="ask"),
        record(E.MERGE_HELD, subject="b", digest="2", decision="ask"),
        record(E.REVIEW_REQUEST, subject="rv1"),
        record(E.REVIEW_REQUEST, subject="rv2"),
        record(E.REVIEW_REJECT, subject="rv1", actor="os-user:ann"),
        record(E.MERGE_APPLY, subject="a", digest="1", decision="allow"),
    )
    assert [c.path for c in view.held] == ["b"]
    assert [r.id for r in view.open_reviews] == ["rv2"]


def test_an_agent_without_attempts_has_not_started(
    read: Callable[..., RunView], started: Record
) -> None:
    """Nothing is guessed about an agent no record mentions."""
    assert [agent.status for agent in read(started).agents] == ["not started", "not started"]
