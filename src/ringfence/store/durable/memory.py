"""The twin of the durable engine that keeps its journal in memory: for tests, and to think with.

Invariants: those of `ringfence.engine.durable`. `MemoryJournal` outlives the engine, so a crash is
an engine that is abandoned with `crash` and a new one over the same journal.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ringfence.chain.errors import InputError
from ringfence.chain.words import Json
from ringfence.engine.durable import (
    Workflow,
    WorkflowContext,
    WorkflowState,
    WorkflowStatus,
)
from ringfence.store.durable.outcome import attempt, time_of, value_of
from ringfence.store.durable.sealing import message as checked
from ringfence.store.durable.sealing import pack, unpack


class _Gone(BaseException):
    """The engine was closed or the workflow cancelled: the thread unwinds and writes nothing."""


@dataclass(slots=True)
class _Row:
    """One workflow as the journal knows it; JSON is kept as text, as in a real journal."""

    workflow: str
    payload: str
    executor: str
    status: WorkflowStatus = WorkflowStatus.PENDING
    result: str = "null"
    error: str = ""
    begun: int = 0
    steps: list[tuple[str, str]] = field(default_factory=list)
    inbox: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


class MemoryJournal:
    """What survives a crash."""

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}
        self.changed = threading.Condition()


class _Context:
    """What one running workflow sees of the engine."""

    def __init__(self, engine: "MemoryEngine", workflow: str) -> None:
        self._engine = engine
        self._row = engine.journal.rows[workflow]
        self._at = 0
        self.id = workflow
        self.resumed = self._row.begun > 1

    def step(self, name: str, fn: Callable[..., Json], *args: Json) -> Json:
        return value_of(self._journalled(name, lambda: attempt(fn, args)))

    def spawn(self, workflow: str, id: str, payload: Json) -> None:  # noqa: A002 - the port's word
        def start() -> Json:
            self._engine.start(workflow, id, payload)
            return None

        self._journalled(f"spawn {id}", start)

    def signal(self, id: str, message: Json, key: str) -> None:  # noqa: A002 - the port's word
        self._journalled(f"signal {id}", lambda: self._engine.signal(id, message, key))

    def wait_signal(self, until: float | None = None) -> Json:
        known = self._journalled("deadline", lambda: until if until is None else float(until))
        deadline = None if known is None else time_of(known)
        return self._journalled("wait", lambda: self._receive(deadline))

    def now(self) -> float:
        return time_of(self._journalled("now", time.time))

    def sleep(self, seconds: float) -> None:
        until = time_of(self._journalled("sleep", lambda: time.time() + seconds))
        with self._engine.journal.changed:
            self._wait(lambda: False, until)

    def _receive(self, deadline: float | None) -> Json:
        with self._engine.journal.changed:
            if self._wait(lambda: bool(self._row.inbox), deadline):
                return unpack(self._row.inbox[0])
        return None

    def _wait(self, ready: Callable[[], bool], deadline: float | None) -> bool:
        """Wait, holding the journal, until ready (True), the deadline (False) or the end."""
        while True:
            self._engine.check(self._row)
            if ready():
                return True
            left = None if deadline is None else deadline - time.time()
            if left is not None and left <= 0:
                return False
            self._engine.journal.changed.wait(left)

    def _journalled(self, name: str, make: Callable[[], Json]) -> Json:
        """Give what the journal holds at this place, or make it and write it there."""
        self._engine.check(self._row)
        if self._at == len(self._row.steps):
            text = pack(make())
            with self._engine.journal.changed:
                self._engine.check(self._row)
                self._row.steps.append((name, text))
                if name == "wait" and text != "null":
                    del self._row.inbox[0]
        known, text = self._row.steps[self._at]
        if known != name:
            raise InputError("workflow-changed", f"{self.id} was at {known!r}, now asks {name!r}")
        self._at += 1
        return unpack(text)


class MemoryEngine:
    """A `DurableEngine` over a `MemoryJournal`, one thread per running workflow."""

    def __init__(self, journal: MemoryJournal, *, executor: str) -> None:
        self.journal = journal
        self._executor = executor
        self._workflows: dict[str, Workflow] = {}
        self._threads: list[threading.Thread] = []
        self._open = False

    def register(self, workflow: str, fn: Workflow) -> None:
        """Name a workflow function."""
        self._workflows[workflow] = fn

    def launch(self) -> None:
        """Begin, and go on with what this executor left unfinished."""
        self._open = True
        self.recover([self._executor])

    def start(self, workflow: str, id: str, payload: Json) -> None:  # noqa: A002 - the port's word
        """Start a workflow, once per id."""
        if workflow not in self._workflows:
            raise InputError("workflow-unknown", f"no workflow is called {workflow!r}")
        text = pack(payload)
        with self.journal.changed:
            if id in self.journal.rows:
                return
            self.journal.rows[id] = _Row(workflow, text, self._executor)
        self._run(id)

    def signal(self, id: str, message: Json, key: str) -> bool:  # noqa: A002 - the port's word
        """Send a message, once per key."""
        text = pack(checked(message))
        with self.journal.changed:
            row = self.journal.rows.get(id)
            if row is None:
                return False
            if key not in row.keys:
                row.keys.add(key)
                row.inbox.append(text)
                self.journal.changed.notify_all()
        return True

    def status(self, id: str) -> WorkflowState | None:  # noqa: A002 - the port's word
        """Give the state of a workflow."""
        row = self.journal.rows.get(id)
        if row is None:
            return None
        done = row.status is WorkflowStatus.SUCCEEDED
        return WorkflowState(
            id=id, workflow=row.workflow, status=row.status,
            result=unpack(row.result) if done else None, error=row.error,
        )  # fmt: skip

    def wait(self, id: str, seconds: float | None = None) -> WorkflowState | None:  # noqa: A002 - the port's word
        """Wait until a workflow has ended."""
        with self.journal.changed:
            ended = self.journal.changed.wait_for(
                lambda: (
                    id in self.journal.rows
                    and self.journal.rows[id].status is not WorkflowStatus.PENDING
                ),
                seconds,
            )
        return self.status(id) if ended else None

    def cancel(self, id: str) -> None:  # noqa: A002 - the port's word
        """End a workflow at its next call."""
        with self.journal.changed:
            row = self.journal.rows.get(id)
            if row is not None and row.status is WorkflowStatus.PENDING:
                row.status = WorkflowStatus.CANCELLED
                self.journal.changed.notify_all()

    def list_workflows(self) -> list[WorkflowState]:
        """Give all workflows, oldest first, without results."""
        return [
            WorkflowState(id=id_, workflow=row.workflow, status=row.status, error=row.error)
            for id_, row in self.journal.rows.items()
        ]

    def recover(self, executors: Sequence[str]) -> list[str]:
        """Take over what dead executors left unfinished."""
        taken = [
            id_
            for id_, row in self.journal.rows.items()
            if row.status is WorkflowStatus.PENDING and row.executor in executors
        ]
        for id_ in taken:
            self.journal.rows[id_].executor = self._executor
            self._run(id_)
        return taken

    def close(self) -> None:
        """Stop working; waits for the threads, which unwind at their next call."""
        self.crash()
        for thread in self._threads:
            thread.join()

    def crash(self) -> None:
        """Leave everything as it lies, as a killed process would: nothing more is written."""
        with self.journal.changed:
            self._open = False
            self.journal.changed.notify_all()

    def check(self, row: _Row) -> None:
        """Unwind the calling workflow when it must not go on."""
        if not self._open or row.status is not WorkflowStatus.PENDING:
            raise _Gone

    def _run(self, id_: str) -> None:
        row = self.journal.rows[id_]
        row.begun += 1
        thread = threading.Thread(target=self._work, args=(id_, row), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, id_: str, row: _Row) -> None:
        context: WorkflowContext = _Context(self, id_)
        try:
            result = pack(self._workflows[row.workflow](context, unpack(row.payload)))
        except _Gone:
            return
        except Exception as error:  # noqa: BLE001 - whatever a workflow raises is its outcome
            self._finish(row, WorkflowStatus.FAILED, "null", f"{type(error).__name__}: {error}")
        else:
            self._finish(row, WorkflowStatus.SUCCEEDED, result, "")

    def _finish(self, row: _Row, status: WorkflowStatus, result: str, error: str) -> None:
        with self.journal.changed:
            if self._open and row.status is WorkflowStatus.PENDING:
                row.status, row.result, row.error = status, result, error
            self.journal.changed.notify_all()
