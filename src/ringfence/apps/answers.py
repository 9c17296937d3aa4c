"""Looking at a review and answering it: what was shown is what happens, or nothing does.

Invariants:
1. What is shown and what is approved are compared by digest at the moment of the answer (R6).
2. The answer is on the record before it takes effect, a refused one too.
3. An approved merge applies exactly the shown files, each checked again by its own digest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from ringfence.apps.opening import open_audit
from ringfence.apps.runner.handoff import read_output
from ringfence.apps.settings import DataDir
from ringfence.audit.log import AuditLog
from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import Refused, RingfenceError
from ringfence.chain.words import Json
from ringfence.control.reviews import Review, ReviewKind, ReviewStatus, judge_answer
from ringfence.policy.decision import Decision
from ringfence.sandbox.held import change_from_json, read_change
from ringfence.sandbox.merge import apply
from ringfence.store.state import StateStore

# What a person said in these is the reason that stands on the record.
SPOKEN = {EventName.REVIEW_APPROVE, EventName.REVIEW_REJECT, EventName.MERGE_APPLY}
MAX_SHOWN_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing a reviewer reads in full."""

    name: str
    note: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A review with everything it is about; ``changed`` when that is no longer what was asked."""

    review: Review
    issues: tuple[str, ...]
    parts: tuple[Part, ...]
    changed: bool

    def to_json(self) -> dict[str, Json]:
        """Give what is shown as JSON."""
        return {
            "review": self.review.to_json(),
            "issues": list(self.issues),
            "parts": [{"name": p.name, "note": p.note, "text": p.text} for p in self.parts],
            "changed": self.changed,
        }


def look(data: DataDir, review: str) -> Shown:
    """Load a review and what it is about. Raises InputError for an unknown one."""
    state = StateStore(data.state)
    try:
        found = state.review(review)
    finally:
        state.close()
    return _shown(data, found)


def _shown(data: DataDir, review: Review) -> Shown:
    issues = [
        f"{issue.get('severity')}: {issue.get('description')}"
        for issue in _objects(review.subject.get("issues"))
    ]
    if review.kind is ReviewKind.MERGE:
        parts, changed = _changed_files(review)
    else:
        parts, changed = _inputs(data, review)
    return Shown(review=review, issues=tuple(issues), parts=tuple(parts), changed=changed)


def _objects(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _inputs(data: DataDir, review: Review) -> tuple[list[Part], bool]:
    files = data.run(review.run) / "files"
    parts, changed = [], False
    for item in _objects(review.subject.get("inputs")):
        name = str(item.get("name"))
        content = read_output(files, name, limit=MAX_SHOWN_BYTES) or b""
        if sha256(content).hexdigest() != item.get("sha256"):
            changed = True
        parts.append(_part(name, f"{len(content)} bytes", content))
    return parts, changed


def _changed_files(review: Review) -> tuple[list[Part], bool]:
    layer = Path(str(review.subject.get("layer")))
    parts, changed = [], False
    for item in _objects(review.subject.get("files")):
        change = change_from_json(item)
        try:
            content = read_change(layer, change, limit=MAX_SHOWN_BYTES)
        except (RingfenceError, OSError, ValueError):
            content, changed = b"", True
        if change.kind == "file" and sha256(content).hexdigest() != change.sha256:
            changed = True
        note = change.kind if change.target is None else f"link to {change.target}"
        parts.append(_part(change.path, f"{note}, mode {change.mode:o}", content))
    return parts, changed


def _part(name: str, note: str, content: bytes) -> Part:
    try:
        return Part(name=name, note=note, text=content.decode())
    except UnicodeDecodeError:
        return Part(name=name, note=f"{note}, binary, hexadecimal", text=content.hex(" ", 4))


def answer(data: DataDir, review: str, *, actor: str, approve: bool, reason: str) -> Review:
    """Answer a review. Raises Refused when policy says no, InputError for an unknown review."""
    now = datetime.now(UTC)
    state = StateStore(data.state)
    try:
        found = state.review(review)
        shown = _shown(data, found)
        digest = "changed" if shown.changed and approve else found.digest
        decision = judge_answer(found, actor=actor, reason=reason, shown_digest=digest, now=now)
        with open_audit(data) as audit:
            if not decision.allowed:
                _record(
                    audit, EventName.REVIEW_INVALID, found, decision, actor=actor, reason=reason
                )
                raise Refused(decision.rule, decision.reason, hint=decision.fix)
            event = EventName.REVIEW_APPROVE if approve else EventName.REVIEW_REJECT
            _record(audit, event, found, decision, actor=actor, reason=reason)
            status = ReviewStatus.APPROVED if approve else ReviewStatus.REJECTED
            if not state.answer(found.id, status, actor=actor, reason=reason, now=now):
                late = Decision.deny("review-not-pending", "somebody else answered first")
                _record(audit, EventName.REVIEW_INVALID, found, late, actor=actor, reason=reason)
                raise Refused(late.rule, late.reason, hint=f"ringfence review show {found.id}")
            if found.kind is ReviewKind.MERGE:
                if approve:
                    _merge(audit, found, decision, actor)
                else:
                    _drop(audit, found, actor)
            else:
                key = str(found.detail.get("key"))
                state.post(found.run, {"type": "review", "key": key, "approved": approve})
        return state.review(found.id)
    finally:
        state.close()


def _merge(audit: AuditLog, review: Review, decision: Decision, actor: str) -> None:
    directory = Path(str(review.subject.get("directory")))
    layer = Path(str(review.subject.get("layer")))
    failed: list[RingfenceError] = []
    for item in _objects(review.subject.get("files")):
        change = change_from_json(item)
        _record(
            audit, EventName.MERGE_APPLY, review, decision, actor=actor,
            reason=f"approved in {review.id}",
            subject=change.path, digest=change.sha256,
        )  # fmt: skip
        try:
            apply(directory, change, layer)
        except RingfenceError as error:
            # One conflict does not take the other approved files away; the record says which.
            failed.append(error)
            dropped = Decision.deny(error.code, error.message, fix=error.hint)
            _record(
                audit, EventName.MERGE_DROP, review, dropped, actor=actor,
                reason=f"approved in {review.id}",
                subject=change.path, digest=change.sha256,
            )  # fmt: skip
    if failed:
        raise failed[0]


def _drop(audit: AuditLog, review: Review, actor: str) -> None:
    """Put on the record that the held files of a rejected review stay out."""
    decision = Decision.deny("review-rejected", "a person rejected the change")
    for item in _objects(review.subject.get("files")):
        change = change_from_json(item)
        _record(
            audit, EventName.MERGE_DROP, review, decision, actor=actor,
            reason=f"rejected in {review.id}", subject=change.path, digest=change.sha256,
        )  # fmt: skip


def _record(
    audit: AuditLog, event: EventName, review: Review, decision: Decision, *, actor: str,
    reason: str, subject: str | None = None, digest: str | None = None,
) -> None:  # fmt: skip
    audit.append(
        [
            Record(
                time=datetime.now(UTC),
                event=event,
                actor=actor,
                run=review.run,
                step=step if isinstance(step := review.detail.get("step"), str) else None,
                agent=review.agent,
                rule=decision.rule,
                decision=decision.verdict.value,
                reason=reason if event in SPOKEN else decision.reason,
                subject=subject or review.id,
                digest=digest or review.digest,
                detail={"kind": review.kind.value, "title": review.title, "because": reason},
            )
        ]
    )
