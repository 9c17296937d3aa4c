"""Reads the records of the doors: egress, secrets, changes, reviews.

Invariants:
1. A result, an answer or a merge is joined to what it belongs to by id; one that belongs to
   nothing on the record is odd, never attached to a guess.
2. Query values of a request are replaced even if whoever recorded it forgot to.
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ringfence.audit.record import EventName, Record
from ringfence.control.shape import Fields, OddShape
from ringfence.control.view import (
    ChangeState,
    ChangeView,
    EgressView,
    ReviewState,
    ReviewView,
    SecretView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_QUERY_VALUE = re.compile(r"=[^&]*")

_CHANGE = {
    EventName.MERGE_APPLY: ChangeState.MERGED,
    EventName.MERGE_HELD: ChangeState.HELD,
    EventName.MERGE_DROP: ChangeState.DROPPED,
}
_ANSWER = {
    EventName.REVIEW_APPROVE: ReviewState.APPROVED,
    EventName.REVIEW_REJECT: ReviewState.REJECTED,
    EventName.REVIEW_EXPIRE: ReviewState.EXPIRED,
    EventName.REVIEW_INVALID: ReviewState.INVALID,
}


class Doors:
    """What went, or tried to go, through the doors of one run."""

    def __init__(self) -> None:
        self._egress: list[EgressView] = []
        self._by_id: dict[str, int] = {}
        self._secrets: dict[str, SecretView] = {}
        self._changes: list[ChangeView] = []
        self._reviews: dict[str, ReviewView] = {}
        self.handlers: Mapping[str, Callable[[int, Record, Fields], None]] = {
            EventName.EGRESS_ALLOW: self._request,
            EventName.EGRESS_DENY: self._request,
            EventName.EGRESS_RESULT: self._result,
            EventName.SECRET_LEASE: self._secret,
            EventName.SECRET_USE: self._secret,
            EventName.SECRET_DENY: self._secret,
            EventName.SECRET_REVOKE: self._secret,
            EventName.MERGE_APPLY: self._change,
            EventName.MERGE_HELD: self._change,
            EventName.MERGE_DROP: self._change,
            EventName.REVIEW_REQUEST: self._ask,
            EventName.REVIEW_APPROVE: self._answer,
            EventName.REVIEW_REJECT: self._answer,
            EventName.REVIEW_EXPIRE: self._answer,
            EventName.REVIEW_INVALID: self._answer,
        }

    def egress(self) -> tuple[EgressView, ...]:
        """Give every request, in order."""
        return tuple(self._egress)

    def secrets(self) -> tuple[SecretView, ...]:
        """Give every secret a record named, by name."""
        return tuple(self._secrets[name] for name in sorted(self._secrets))

    def changes(self) -> tuple[ChangeView, ...]:
        """Give every change, in order; a held one that was decided later says so."""
        decided: set[tuple[str, str | None]] = set()
        seen: list[ChangeView] = []
        for change in reversed(self._changes):
            key = (change.path, change.digest)
            if change.state is ChangeState.HELD:
                seen.append(replace(change, settled=key in decided))
            else:
                decided.add(key)
                seen.append(change)
        return tuple(reversed(seen))

    def reviews(self) -> tuple[ReviewView, ...]:
        """Give every review, in the order they were asked."""
        return tuple(self._reviews.values())

    def waiting(self) -> bool:
        """Say whether a review is open."""
        return any(r.state is ReviewState.OPEN for r in self._reviews.values())

    def _request(self, position: int, record: Record, detail: Fields) -> None:
        number = detail.need("id")
        subject = record.subject
        if not subject:
            raise OddShape("the request is missing")
        method, _, url = subject.rpartition(" ")
        request = EgressView(
            position=position,
            time=record.time,
            id=number,
            agent=record.agent,
            step=record.step,
            method=method or detail.text("method") or "",
            url=without_values(url),
            allowed=record.event == EventName.EGRESS_ALLOW and record.decision in {None, "allow"},
            rule=record.rule,
            reason=record.reason,
            where=record.where,
            secrets=detail.texts("secrets"),
            bytes_up=detail.number("bytes_up"),
        )
        self._by_id[number] = len(self._egress)
        self._egress.append(request)

    def _result(self, _position: int, _record: Record, detail: Fields) -> None:
        index = self._by_id.get(detail.need("id"))
        if index is None:
            raise OddShape("it is the result of a request that is not on the record")
        request = self._egress[index]
        up = detail.number("bytes_up")
        self._egress[index] = replace(
            request,
            status=detail.number("status"),
            bytes_up=request.bytes_up if up is None else up,
            bytes_down=detail.number("bytes_down"),
            ms=detail.number("ms"),
            redactions=detail.number("redactions"),
        )

    def _secret(self, _position: int, record: Record, detail: Fields) -> None:
        name = record.subject
        if not name:
            raise OddShape("the secret's name is missing")
        host, slot = detail.text("host"), detail.text("slot")
        known = self._secrets.get(name) or SecretView(name=name)
        event = record.event
        self._secrets[name] = replace(
            known,
            agents=_with(known.agents, record.agent),
            hosts=known.hosts if event == EventName.SECRET_DENY else _with(known.hosts, host),
            slots=known.slots if event == EventName.SECRET_DENY else _with(known.slots, slot),
            leases=known.leases + (event == EventName.SECRET_LEASE),
            uses=known.uses + (event == EventName.SECRET_USE),
            denials=known.denials + (event == EventName.SECRET_DENY),
            revoked=event == EventName.SECRET_REVOKE or (
                known.revoked and event != EventName.SECRET_LEASE
            ),
        )  # fmt: skip

    def _change(self, position: int, record: Record, _detail: Fields) -> None:
        if not record.subject:
            raise OddShape("the path is missing")
        self._changes.append(
            ChangeView(
                position=position,
                agent=record.agent,
                path=record.subject,
                state=_CHANGE[record.event],
                digest=record.digest,
                rule=record.rule,
                reason=record.reason,
                where=record.where,
            )
        )

    def _ask(self, _position: int, record: Record, detail: Fields) -> None:
        if not record.subject:
            raise OddShape("the review's id is missing")
        if record.subject in self._reviews:
            raise OddShape("the review was already asked for")
        self._reviews[record.subject] = ReviewView(
            id=record.subject,
            kind=detail.text("kind"),
            title=detail.text("title"),
            agent=record.agent,
            digest=record.digest,
            expires=detail.text("expires"),
            asked_by=record.actor,
            asked=record.time,
        )

    def _answer(self, _position: int, record: Record, _detail: Fields) -> None:
        known = self._reviews.get(record.subject or "")
        if known is None:
            raise OddShape("it answers a review that is not on the record")
        self._reviews[known.id] = replace(
            known,
            state=_ANSWER[record.event],
            answered_by=record.actor,
            answered=record.time,
            reason=record.reason,
            matches=None if record.digest is None else record.digest == known.digest,
        )


def without_values(url: str) -> str:
    """Give the URL with every query value and the fragment left out."""
    path, mark, query = url.partition("?")
    if not mark:
        return url
    return f"{path}?{_QUERY_VALUE.sub('=…', query.partition('#')[0])}"


def _with(known: tuple[str, ...], more: str | None) -> tuple[str, ...]:
    return known if more is None or more in known else (*known, more)
