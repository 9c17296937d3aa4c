"""From a change set to decisions: each changed file is merged, held for a person, or dropped.

Invariants:
1. One decision per file, recorded before the effect; the same policy for every file.
2. A held control file is one question by itself; ordinary held files of a step are one question.
3. A failed attempt merges nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.apps.runner.asking import ask
from ringfence.apps.runner.handoff import StepDir
from ringfence.apps.runner.progress import tell
from ringfence.apps.runner.world import World
from ringfence.audit.record import EventName
from ringfence.chain.errors import RingfenceError
from ringfence.control.reviews import ReviewKind
from ringfence.policy.decide import decide_closed
from ringfence.policy.decision import Decision, Verdict
from ringfence.policy.grant import Grant
from ringfence.sandbox.held import change_to_json
from ringfence.sandbox.merge import apply
from ringfence.sandbox.workspace import Change, changes

if TYPE_CHECKING:
    from ringfence.chain.words import Json

EVENTS = {
    Verdict.ALLOW: EventName.MERGE_APPLY,
    Verdict.ASK: EventName.MERGE_HELD,
    Verdict.DENY: EventName.MERGE_DROP,
}


def without_parents(found: Sequence[Change]) -> list[Change]:
    """Leave out new directories that only hold other changes: those bring their parents along.

    A directory by itself would be merged although everything in it is held.
    """
    parents = {
        change.raw[:end]
        for change in found
        for end in range(len(change.raw))
        if change.raw[end] == "/"
    }
    return [
        change
        for change in found
        if not (change.kind == "dir" and change.before_sha256 is None and change.raw in parents)
    ]


class Settler:
    """Settles the change set of one attempt."""

    def __init__(
        self, world: World, grant: Grant, attempt: int, step: StepDir, directory: Path
    ) -> None:
        self._world = world
        self._grant = grant
        self._attempt = attempt
        self._step = step
        self._directory = directory

    def settle(self, *, failed: bool) -> None:
        """Decide about every change, merge what may be merged, ask about what is held."""
        held: dict[str, list[Change]] = {}
        for change in without_parents(changes(self._directory, self._step.layer)):
            decision = self._decide(change, failed=failed)
            self._record(EVENTS[decision.verdict], change, decision)
            if decision.verdict is Verdict.ALLOW:
                self._merge(change)
                continue
            self._tell(change, decision)
            if decision.verdict is Verdict.ASK:
                alone = decision.rule == "control-file"
                held.setdefault(change.path if alone else "", []).append(change)
        for group in held.values():
            self._hold(group)

    def _decide(self, change: Change, *, failed: bool) -> Decision:
        if failed:
            return Decision.deny(
                "step-failed",
                "the attempt failed; nothing of it is merged",
                fix="see the transcript",
            )
        return decide_closed(change.effect, self._grant, now=self._world.now())

    def _record(self, event: EventName, change: Change, decision: Decision) -> None:
        self._world.record(
            event,
            agent=self._grant.agent,
            attempt=self._attempt,
            decision=decision,
            subject=change.path,
            digest=change.sha256,
            kind=change.kind,
        )

    def _merge(self, change: Change) -> None:
        try:
            apply(self._directory, change, self._step.layer)
        except RingfenceError as error:
            decision = Decision.deny(error.code, error.message, fix=error.hint)
            self._record(EventName.MERGE_DROP, change, decision)
            self._tell(change, decision)

    def _tell(self, change: Change, decision: Decision) -> None:
        tell(
            "merge",
            agent=self._grant.agent,
            path=change.path,
            verdict=decision.verdict.value,
            rule=decision.rule,
            reason=decision.reason,
        )

    def _hold(self, group: list[Change]) -> None:
        files: list[Json] = [change_to_json(change) for change in group]
        name = self._grant.agent
        title = f"{name} wants to change {group[0].path}"
        if len(group) > 1:
            title = f"{name} wants to change {len(group)} files"
        key = f"merge:{name}#{self._attempt}:{group[0].path}"
        ask(
            self._world,
            key=key,
            step=f"{name}#{self._attempt}",
            agent=name,
            kind=ReviewKind.MERGE,
            title=title,
            subject={
                "directory": str(self._directory),
                "layer": str(self._step.layer),
                "files": files,
            },
        )
