"""The doors of the conductor: what it asks for is recorded and done here.

Invariants:
1. Everything is idempotent: after a crash the same call comes again.
2. A step that was told to stop ends soon, also when the telling came before the start.
"""

import time
from collections.abc import Sequence
from hashlib import sha256
from typing import assert_never

from ringfence.apps.runner.asking import ask
from ringfence.apps.runner.handoff import read_output
from ringfence.apps.runner.progress import tell
from ringfence.apps.runner.step import StepRunner
from ringfence.apps.runner.world import World
from ringfence.audit.record import EventName
from ringfence.chain.words import CHAIN_COMPLETE, Json
from ringfence.control.reviews import ReviewKind
from ringfence.control.runs import RunStatus
from ringfence.engine.commands import AskReview, EmitEvent, FinishRun
from ringfence.engine.conduct import Recorded
from ringfence.engine.events import StepEvent, StepFailed

MAX_REVIEWED_BYTES = 16 * 1024**2


class Supervisor:
    """Implements the conductor's `StepPort` for one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._steps = StepRunner(world)
        self.parked_since: float | None = None

    def execute(self, run: str, agent: str, attempt: int, *, resumed: bool) -> StepEvent:
        """Run one attempt; one that may have been started before is reaped first."""
        world = self._world
        if run != world.row.id:
            return StepFailed(agent=agent, attempt=attempt, retryable=False, reason="foreign run")
        if resumed:
            self._steps.reap(agent, attempt)
        return self._steps.run(world.chain.agent(agent), attempt)

    def stop(self, run: str, agent: str) -> None:
        """Ask the agent's step to end."""
        if run == self._world.row.id:
            self._world.stop_event(agent).set()

    def waiting(self, run: str, *, for_people: bool) -> None:
        """Take note of what the run waits for; only people means it can be left alone."""
        if run == self._world.row.id:
            self.parked_since = time.monotonic() if for_people else None

    def perform(self, run: str, commands: Sequence[Recorded]) -> None:
        """Record and queue what the run asked for."""
        if run != self._world.row.id:
            return
        for command in commands:
            match command:
                case AskReview():
                    self._ask(command)
                case EmitEvent():
                    self._emit(command)
                case FinishRun():
                    self._finish(command)
                case _:
                    assert_never(command)

    def _emit(self, command: EmitEvent) -> None:
        state = self._world.open_state()
        try:
            attempt = state.last_attempt(self._world.row.id, command.by)
        finally:
            state.close()
        self._world.record(
            EventName.EVENT_EMIT, agent=command.by, attempt=attempt, subject=command.event
        )
        tell("event", agent=command.by, event=command.event,
             last=command.event == CHAIN_COMPLETE)  # fmt: skip

    def _ask(self, command: AskReview) -> None:
        agent = self._world.chain.agent(command.agent)
        files = self._world.data.run(self._world.row.id) / "files"
        inputs: list[Json] = []
        for name in agent.input:
            data = read_output(files, name, limit=MAX_REVIEWED_BYTES) or b""
            inputs.append({"name": name, "bytes": len(data), "sha256": sha256(data).hexdigest()})
        kind = ReviewKind.GATE if command.kind == "gate" else ReviewKind.REVIEW
        ask(
            self._world,
            key=command.review,
            step=command.review,
            agent=command.agent,
            kind=kind,
            title=command.title,
            subject={
                "inputs": inputs,
                "issues": self._world.issues(command.agent),
                "on_approve": list(agent.emits[:1]),
            },
        )

    def _finish(self, command: FinishRun) -> None:
        world = self._world
        status = RunStatus(command.status)
        world.record(
            EventName.RUN_CANCEL if status is RunStatus.CANCELLED else EventName.RUN_FINISH,
            subject=world.chain.name,
            status=status.value,
            reason=command.reason,
        )
        state = world.open_state()
        try:
            state.set_status(world.row.id, status, reason=command.reason or None, now=world.now())
        finally:
            state.close()
        tell("end", status=status.value, reason=command.reason)
