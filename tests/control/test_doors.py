"""Egress, secrets, changes and reviews."""

from collections.abc import Callable

import pytest

from ringfence.audit.record import EventName, Record
from ringfence.control.doors import without_values
from ringfence.control.view import ChangeState, ReviewState, RunView

E = EventName
Make = Callable[..., Record]
Read = Callable[..., RunView]


def test_a_request_is_joined_with_its_result(read: Read, record: Make) -> None:
    """Decision, rule and secrets from the first record; status and bytes from the second."""
    view = read(
        record(
            E.EGRESS_ALLOW, agent="a", subject="POST https://h:443/p", rule="r1", decision="allow",
            where="c.yaml:1:1", detail={"id": "q1", "secrets": ["TOKEN"]},
        ),
        record(
            E.EGRESS_RESULT,
            detail={
                "id": "q1", "status": 201, "bytes_up": 5, "bytes_down": 6, "ms": 7, "redactions": 1,
            },
        ),
    )  # fmt: skip
    (request,) = view.egress
    assert (request.method, request.url, request.allowed) == ("POST", "https://h:443/p", True)
    assert (request.rule, request.where, request.secrets) == ("r1", "c.yaml:1:1", ("TOKEN",))
    assert (request.status, request.bytes_up, request.bytes_down) == (201, 5, 6)
    assert (request.ms, request.redactions) == (7, 1)


def test_a_result_without_a_request_is_odd(read: Read, record: Make) -> None:
    """It is listed, not attached to something else."""
    view = read(record(E.EGRESS_RESULT, detail={"id": "q9", "status": 200}))
    assert view.egress == ()
    assert len(view.unshown) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/p", "https://h/p"),
        ("https://h/p?token=abc&b=2", "https://h/p?token=…&b=…"),
        ("https://h/p?a=b=c#frag", "https://h/p?a=…"),
        ("https://h/p?bare", "https://h/p?bare"),
    ],
)
def test_query_values_are_left_out(url: str, shown: str) -> None:
    """A value that slipped onto the record does not slip onto the page."""
    assert without_values(url) == shown


def test_secrets_are_counted_by_name(read: Read, record: Make) -> None:
    """Leases, uses and denials; a host where it was refused is not a host of the secret."""
    good = {"host": "api.h", "slot": "header:authorization"}
    view = read(
        record(E.SECRET_LEASE, agent="a", subject="TOKEN", detail=good),
        record(E.SECRET_USE, agent="a", subject="TOKEN", detail=good),
        record(E.SECRET_USE, agent="b", subject="TOKEN", detail=good),
        record(E.SECRET_DENY, agent="b", subject="TOKEN", detail={"host": "evil.h"}),
        record(E.SECRET_REVOKE, agent="a", subject="TOKEN", detail=good),
    )
    (secret,) = view.secrets
    assert (secret.leases, secret.uses, secret.denials) == (1, 2, 1)
    assert secret.hosts == ("api.h",)
    assert secret.agents == ("a", "b")
    assert secret.revoked


def test_changes_keep_their_rule_and_order(read: Read, record: Make) -> None:
    """A held change that was decided later says so; a dropped one keeps its rule."""
    view = read(
        record(E.MERGE_HELD, subject="a", digest="1", rule="hold", decision="ask"),
        record(E.MERGE_DROP, subject="b", digest="2", rule="control-file", decision="deny"),
        record(E.MERGE_APPLY, subject="a", digest="1", rule="approved", decision="allow"),
    )
    assert [(c.path, c.state, c.settled) for c in view.changes] == [
        ("a", ChangeState.HELD, True),
        ("b", ChangeState.DROPPED, False),
        ("a", ChangeState.MERGED, False),
    ]


def test_other_content_does_not_settle_a_held_change(read: Read, record: Make) -> None:
    """An approval is for one digest; merging other bytes leaves the held ones waiting."""
    view = read(
        record(E.MERGE_HELD, subject="a", digest="1", decision="ask"),
        record(E.MERGE_APPLY, subject="a", digest="2", decision="allow"),
    )
    assert [c.digest for c in view.held] == ["1"]


def test_a_review_says_who_answered_what(read: Read, record: Make) -> None:
    """Who asked, who answered, why, and whether the answer names the digest that was asked."""
    ask = record(
        E.REVIEW_REQUEST, agent="a", subject="rv1", digest="1",
        detail={"kind": "merge", "title": "Merge a", "expires": "2026-05-05T00:00:00Z"},
    )  # fmt: skip
    answer = record(E.REVIEW_APPROVE, subject="rv1", digest="2", actor="os-user:ann", reason="fine")
    (review,) = read(ask, answer).reviews
    assert (review.kind, review.title, review.asked_by) == ("merge", "Merge a", "supervisor")
    assert review.state is ReviewState.APPROVED
    assert (review.answered_by, review.reason) == ("os-user:ann", "fine")
    assert review.matches is False


def test_an_answer_without_a_question_is_odd(read: Read, record: Make) -> None:
    """It makes no review appear."""
    view = read(record(E.REVIEW_APPROVE, subject="rv1", digest="1"))
    assert view.reviews == ()
    assert len(view.unshown) == 1
