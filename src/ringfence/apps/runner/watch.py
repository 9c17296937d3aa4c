"""Watching a run: messages from people go in, the end or the rest comes out."""

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from ringfence.apps.load import load
from ringfence.apps.runner.progress import tell
from ringfence.apps.runner.supervisor import Supervisor
from ringfence.apps.runner.world import World
from ringfence.audit.record import EventName
from ringfence.chain.words import Chain, Json
from ringfence.control.reviews import ReviewKind, ReviewStatus, has_expired
from ringfence.control.runs import RunStatus
from ringfence.engine.conduct import CONDUCT, Conductor, RunOrder
from ringfence.engine.durable import WorkflowStatus
from ringfence.engine.events import CancelRequested, ReviewDecided, ReviewExpired, encode_event

if TYPE_CHECKING:
    from ringfence.engine.durable import DurableEngine
    from ringfence.store.state import StateStore

POLL_SECONDS = 0.05
EXPIRY_CHECK = timedelta(seconds=1)


class Watcher:
    """Watches one run until it ended or rests."""

    def __init__(self, world: World, engine: "DurableEngine", *, cancel: threading.Event) -> None:
        self._world = world
        self._engine = engine
        self._cancel = cancel
        self._supervisor = Supervisor(world)
        self._read = 0
        self._next_expiry_check = world.now()

    def watch(self) -> int:
        """Start (or take up) the run and stay with it. Gives the exit code of the runner."""
        world = self._world
        Conductor(self._load, self._supervisor).register(self._engine)
        self._engine.launch()
        document = (world.data.run(world.row.id) / "chain").read_text()
        order = RunOrder(
            run=world.row.id, file=world.row.file, document=document,
            digest=world.row.digest, at=world.row.created.timestamp(),
        )  # fmt: skip
        self._engine.start(CONDUCT, world.row.id, order.to_json())
        state = world.open_state()
        try:
            while True:
                ended = self._engine.wait(world.row.id, POLL_SECONDS)
                if ended is not None:
                    return self._ended(ended.status, ended.error)
                self._deliver(state.inbox(world.row.id, after=self._read))
                self._expire(state)
                if self._cancel.is_set():
                    self._signal_cancel(world.row.starter, "interrupted")
                if self._supervisor.parked.is_set() and self._rests(state):
                    state.set_status(world.row.id, RunStatus.WAITING, now=world.now())
                    tell("end", status=RunStatus.WAITING.value, reason="")
                    return 0
        finally:
            state.close()
            self._engine.close()

    def _load(self, data: bytes, file: str) -> Chain:
        return load(data, file=file, variables=dict(self._world.row.variables))

    def _rests(self, state: "StateStore") -> bool:
        if self._world.row.settings.get("wait"):
            return False
        # An answer that came while the runner was busy is delivered before it may rest.
        return not state.inbox(self._world.row.id, after=self._read)

    def _ended(self, status: WorkflowStatus, error: str) -> int:
        if status is WorkflowStatus.SUCCEEDED:
            return 0
        world = self._world
        state = world.open_state()
        try:
            state.set_status(world.row.id, RunStatus.FAILED, reason=error, now=world.now())
        finally:
            state.close()
        tell("end", status=RunStatus.FAILED.value, reason=error)
        return 1

    def _deliver(self, messages: list[tuple[int, dict[str, Json]]]) -> None:
        run = self._world.row.id
        for seq, message in messages:
            match message:
                case {"type": "review", "key": str(key), "approved": bool(approved)}:
                    self._supervisor.parked.clear()
                    event = encode_event(ReviewDecided(review=key, approved=approved))
                    self._engine.signal(run, event, key=f"inbox:{seq}")
                case {"type": "cancel", "by": str(by), "reason": str(reason)}:
                    self._signal_cancel(by, reason)
            self._read = seq

    def _signal_cancel(self, by: str, reason: str) -> None:
        self._cancel.clear()
        self._supervisor.parked.clear()
        event = encode_event(CancelRequested(by=by, reason=reason))
        self._engine.signal(self._world.row.id, event, key="cancel")

    def _expire(self, state: "StateStore") -> None:
        now = self._world.now()
        if now < self._next_expiry_check:
            return
        self._next_expiry_check = now + EXPIRY_CHECK
        for review in state.reviews(run=self._world.row.id, pending=True):
            if not has_expired(review, now=now):
                continue
            self._world.record(
                EventName.REVIEW_EXPIRE, agent=review.agent, subject=review.id,
                digest=review.digest,
            )  # fmt: skip
            state.answer(review.id, ReviewStatus.EXPIRED, actor="engine", reason="expired", now=now)
            key = review.detail.get("key")
            if review.kind is not ReviewKind.MERGE and isinstance(key, str):
                event = encode_event(ReviewExpired(review=key))
                self._engine.signal(self._world.row.id, event, key=f"expire:{review.id}")
