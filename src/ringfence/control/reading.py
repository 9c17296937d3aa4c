"""Reads the records of one run, in order, into a `RunView`.

Invariants:
1. Any sequence of records gives a view; none raises. What cannot be placed is listed with why.
2. A refusal counts as a refusal even when the rest of its record is odd, and when the event and
   the recorded decision disagree the stricter one counts.
3. A record changes the view wholly or not at all: every field is taken out before any is used.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from ringfence.audit.record import EventName, Record
from ringfence.chain.words import Json
from ringfence.control.doors import Doors
from ringfence.control.members import Members, edges_of
from ringfence.control.shape import Fields, OddShape
from ringfence.control.view import (
    DecisionView,
    NoticeView,
    Outcome,
    RunView,
    UnshownView,
    Verification,
)
from ringfence.policy.decision import Verdict

RAW_LIMIT = 1_900
"""Characters kept of a record that is listed raw."""

_DENIALS = frozenset({
    EventName.EGRESS_DENY, EventName.EVENT_DENY, EventName.SECRET_DENY, EventName.MERGE_DROP,
    EventName.ISOLATION_REFUSE, EventName.CONFIG_REJECT, EventName.REVIEW_INVALID,
})  # fmt: skip
_QUESTIONS = frozenset({EventName.MERGE_HELD})
_ENDINGS = {
    "succeeded": Outcome.SUCCEEDED, "failed": Outcome.FAILED, "cancelled": Outcome.CANCELLED,
    "timed-out": Outcome.TIMED_OUT, "refused": Outcome.REFUSED, "waiting": Outcome.WAITING,
}  # fmt: skip
_TEXTS = (
    "actor", "run", "step", "agent", "rule", "decision", "reason", "where", "subject", "digest",
)  # fmt: skip


def read_run(
    run: str, entries: Iterable[tuple[int, Record]], *, verification: Verification | None = None
) -> RunView:
    """Give the view of one run from its records (position in the log, record), in log order."""
    reading = _Reading(run)
    for position, record in entries:
        reading.take(position, record)
    return reading.view(verification)


class _Reading:
    """The state between two records."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.positions: list[int] = []
        self.start: Record | None = None
        self.file: str | None = None
        self.status: str | None = None
        self.finished: datetime | None = None
        self.decisions: dict[tuple[str | None, ...], DecisionView] = {}
        self.allowed = 0
        self.notices: list[NoticeView] = []
        self.unshown: list[UnshownView] = []
        self.members = Members()
        self.doors = Doors()
        self.handlers: Mapping[str, Callable[[int, Record, Fields], None]] = {
            EventName.RUN_START: self._run_start,
            EventName.RUN_FINISH: self._run_finish,
            EventName.RUN_CANCEL: self._notice,
            EventName.RUN_RESUME: self._run_resume,
            EventName.STEP_REAP: self._notice,
            EventName.ISOLATION_REFUSE: self._notice,
            EventName.CONFIG_REJECT: self._notice,
            EventName.SETTING_UNSAFE: self._notice,
            **self.members.handlers,
            **self.doors.handlers,
        }

    def take(self, position: int, record: Record) -> None:
        """Take one record in; list it as unshown when it cannot be placed."""
        self.positions.append(position)
        try:
            self._place(position, record)
        except OddShape as odd:
            self.unshown.append(
                UnshownView(
                    position=position,
                    event=_as_text(getattr(record, "event", "")),
                    why=str(odd),
                    raw=_raw(record),
                )
            )

    def _place(self, position: int, record: Record) -> None:
        _check_frame(record)
        if record.run != self.run:
            raise OddShape("it belongs to another run")
        self._decide(position, record)
        handler = self.handlers.get(record.event)
        if handler is None:
            raise OddShape("this view does not know the event")
        handler(position, record, Fields(record.detail))

    def _decide(self, position: int, record: Record) -> None:
        verdict = _verdict(record)
        if verdict is None:
            return
        if verdict is Verdict.ALLOW:
            self.allowed += 1
            return
        fix = record.detail.get("fix")
        key = (
            verdict, record.event, record.agent, record.subject, record.rule, record.reason,
            record.where,
        )  # fmt: skip
        known = self.decisions.get(key)
        if known is not None:
            self.decisions[key] = replace(known, last=position, times=known.times + 1)
            return
        self.decisions[key] = DecisionView(
            first=position,
            last=position,
            time=record.time,
            times=1,
            verdict=verdict,
            event=record.event,
            agent=record.agent,
            subject=record.subject,
            rule=record.rule,
            reason=record.reason,
            where=record.where,
            fix=fix if isinstance(fix, str) else None,
        )

    def _run_start(self, _position: int, record: Record, detail: Fields) -> None:
        if self.start is not None:
            raise OddShape("the run had already started")
        file = detail.text("file")
        self.members.listed(detail.objects("agents"))
        self.start = record
        self.file = file

    def _run_finish(self, _position: int, record: Record, detail: Fields) -> None:
        self.status = detail.need("status")
        self.finished = record.time

    def _run_resume(self, position: int, record: Record, detail: Fields) -> None:
        self._notice(position, record, detail)
        self.status = None
        self.finished = None

    def _notice(self, position: int, record: Record, _detail: Fields) -> None:
        said = [part for part in (record.subject, record.reason, record.rule) if part]
        self.notices.append(
            NoticeView(
                position=position,
                time=record.time,
                event=record.event,
                actor=record.actor,
                text=" · ".join(said),
                weaker=record.event == EventName.SETTING_UNSAFE,
            )
        )

    def view(self, verification: Verification | None) -> RunView:
        """Give what the records so far add up to."""
        agents = self.members.agents()
        events = self.members.events()
        start = self.start
        started = None if start is None else start.time
        return RunView(
            run=self.run,
            chain=None if start is None else start.subject,
            file=self.file,
            digest=None if start is None else start.digest,
            starter=None if start is None else start.actor,
            status=self.status,
            outcome=self._outcome(),
            started=started,
            finished=self.finished,
            ms=_elapsed(started, self.finished),
            agents=agents,
            edges=edges_of(agents, events, begun=start is not None),
            events=events,
            decisions=tuple(self.decisions.values()),
            allowed=self.allowed,
            egress=self.doors.egress(),
            secrets=self.doors.secrets(),
            changes=self.doors.changes(),
            reviews=self.doors.reviews(),
            findings=self.members.findings(),
            redactions=self.members.redactions(),
            notices=tuple(self.notices),
            unshown=tuple(self.unshown),
            first=min(self.positions, default=None),
            last=max(self.positions, default=None),
            records=len(self.positions),
            verification=verification,
        )

    def _outcome(self) -> Outcome:
        if self.status is not None:
            return _ENDINGS.get(self.status, Outcome.UNKNOWN)
        return Outcome.WAITING if self.doors.waiting() else Outcome.UNFINISHED


def _verdict(record: Record) -> Verdict | None:
    if record.event in _DENIALS or record.decision == Verdict.DENY:
        return Verdict.DENY
    if record.event in _QUESTIONS or record.decision == Verdict.ASK:
        return Verdict.ASK
    if record.decision == Verdict.ALLOW:
        return Verdict.ALLOW
    if record.decision is None:
        return Verdict.ALLOW if record.event == EventName.EGRESS_ALLOW else None
    raise OddShape("the decision is none of allow, ask, deny")


def _check_frame(record: Record) -> None:
    """Check the parts every record has, whatever its static type promises. Raises OddShape."""
    for name in _TEXTS:
        value: object = getattr(record, name)
        if value is not None and not isinstance(value, str):
            raise OddShape(f"{name} is not a text")
    frame: dict[str, tuple[object, type]] = {
        "event": (record.event, str),
        "actor": (record.actor, str),
        "time": (record.time, datetime),
        "detail": (record.detail, Mapping),
    }
    for name, (value, kind) in frame.items():
        if not isinstance(value, kind):
            raise OddShape(f"{name} has the wrong type")
    if record.time.tzinfo is None:
        raise OddShape("the time has no zone")


def _elapsed(started: datetime | None, finished: datetime | None) -> int | None:
    if started is None or finished is None:
        return None
    return (finished - started) // timedelta(milliseconds=1)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else f"<{type(value).__name__}>"


def _raw(record: Record) -> str:
    """Give the record as JSON text as far as it can be said, cut after `RAW_LIMIT`."""
    body: dict[str, object] = {"time": _as_text(_iso(record)), "event": _as_text(record.event)}
    for name in _TEXTS:
        value: object = getattr(record, name)
        if value is not None:
            body[name] = value
    body["detail"] = record.detail
    try:
        text = json.dumps(body, default=_for_json, skipkeys=True, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return "this record cannot be written as JSON"
    return text if len(text) <= RAW_LIMIT else f"{text[:RAW_LIMIT]}… (cut)"


def _iso(record: Record) -> object:
    time: object = record.time
    return time.isoformat() if isinstance(time, datetime) else time


def _for_json(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(key): member for key, member in value.items()}
    return f"<{type(value).__name__}>"
