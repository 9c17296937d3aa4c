"""The durable engine on DBOS with SQLite.

Invariants:
1. Those of `ringfence.engine.durable`, and those of `dbos_guard`, which this module imports first.
2. Every value is bound to its place: a sealed value copied to another row is refused.
3. The application version is `PROTOCOL` and the ``pool``: an upgrade does not strand waiting runs,
   and workflows are claimed only by engines of the same pool (recovery goes through a queue that
   every process on the file shares).
4. A message that is late never ends a wait early: waits go on until their deadline has passed.
5. A finished step, a start and a message that was accepted survive a power cut.
6. A closed engine writes nothing more: threads that wait are woken and unwind.

Private names of the vendor it uses are pinned by ``dbos<3.5`` and by the contract tests:
``_recover_pending_workflows``, ``_sys_db_field.notifications_map``,
the registry's internal queue. One engine can be open per process: the vendor's is a singleton.
"""

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa

from ringfence.store.durable import dbos_guard as guard  # isort: skip - before the vendor's engine
from dbos import DBOS, SetWorkflowID
from dbos._dbos import _get_or_create_dbos_registry
from dbos._error import DBOSNonExistentWorkflowError
from dbos._sys_db import KeySignal
from dbos._utils import INTERNAL_QUEUE_NAME

from ringfence.chain.errors import InputError, InternalError
from ringfence.chain.words import Json
from ringfence.engine.durable import PROTOCOL, Workflow, WorkflowState, WorkflowStatus
from ringfence.store.durable.outcome import attempt, time_of, value_of
from ringfence.store.durable.sealing import Sealer, bind, unbind
from ringfence.store.durable.sealing import message as checked

FILE = "engine.sqlite"
_FOREVER = 10 * 365 * 24 * 3_600.0
_SIGNAL, _SLEEP = "signal", "sleep"
_RECOVERIES = 10_000  # how often one workflow may be taken up again before it is given up
_POLL = 0.05  # seconds: how late a signal from another process may be noticed
_CLAIM = 0.25  # seconds: how late recovery begins; at 0.05 the vendor spends 4 % of a core
_POOL_NAME = re.compile(r"[a-z0-9_-]{3,64}")
_STATUS = {
    "SUCCESS": WorkflowStatus.SUCCEEDED,
    "CANCELLED": WorkflowStatus.CANCELLED,
    "PENDING": WorkflowStatus.PENDING,
    "ENQUEUED": WorkflowStatus.PENDING,
    "DELAYED": WorkflowStatus.PENDING,
}
_ROWS = """
SELECT s.workflow_uuid, s.name, s.status, coalesce(o.output, s.output), coalesce(o.error, s.error)
FROM workflow_status s LEFT JOIN workflow_output o ON o.workflow_uuid = s.workflow_uuid
"""
_one_per_process = threading.Lock()


class _ClosedError(Exception):
    """A thread of a closed engine asked for the journal."""


class _Context:
    """What one running workflow sees of the engine."""

    def __init__(self, engine: "DbosEngine", workflow: str) -> None:
        self._engine = engine
        self._at = 0
        self.id = workflow

    @property
    def resumed(self) -> bool:
        return self._engine.attempts(self.id) > 1

    def step(self, name: str, fn: Callable[..., Json], *args: Json) -> Json:
        ran: list[bool] = []

        def run() -> Json:
            ran.append(True)
            return attempt(fn, args)

        outcome = self._journalled(name, run)
        if ran:
            self._engine.flush()
        return value_of(outcome)

    def _journalled(self, name: str, run: Callable[[], Json]) -> Json:
        self._at += 1
        place = f"step {self.id} {self._at} {name}"
        return unbind(place, DBOS.run_step({"name": name}, lambda: bind(place, run())))

    def spawn(self, workflow: str, id: str, payload: Json) -> None:  # noqa: A002 - the port's word
        self._engine.begin(workflow, id, payload)

    def signal(self, id: str, message: Json, key: str) -> None:  # noqa: A002 - the port's word
        try:
            self._engine.send(id, message, key)
        except (DBOSNonExistentWorkflowError, guard.WorkflowFailed):
            return

    def wait_signal(self, until: float | None = None) -> Json:
        while True:
            seconds = _FOREVER if until is None else max(0.0, until - time.time())
            bound: Json = DBOS.recv(_SIGNAL, timeout_seconds=seconds)
            if bound is not None:
                return unbind(f"signal {self.id}", bound)
            # A wake that came late, for the message before, ends a wait without a message.
            if until is not None and self.now() >= until:
                return None

    def now(self) -> float:
        return time_of(self._journalled("now", time.time))

    def sleep(self, seconds: float) -> None:
        # Not DBOS.sleep: it blocks its thread, so neither close nor cancel could end it.
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            DBOS.recv(_SLEEP, timeout_seconds=left)


class DbosEngine:
    """A `DurableEngine` on ``engine.sqlite`` in a directory."""

    def __init__(self, directory: Path, *, key: bytes, executor: str, pool: str) -> None:
        if not _POOL_NAME.fullmatch(pool):
            raise InputError("pool-invalid", f"{pool!r} is not 3 to 64 of a-z, 0-9, - and _")
        self._path = directory / FILE
        self._serializer = guard.SealedSerializer(Sealer(key))
        self._executor, self._pool = executor, pool
        self._workflows: dict[str, Workflow] = {}
        self._handles: dict[str, Callable[[Json], Json]] = {}
        self._database: sa.Engine | None = None
        self._vendor: DBOS | None = None
        self._closed = False
        self._order = threading.Lock()
        self._last_sent = 0.0
        self._ending: set[str] = set()
        self._ended = threading.Condition()

    def register(self, workflow: str, fn: Workflow) -> None:
        """Name a workflow function. Only before `launch`."""
        self._workflows[workflow] = fn

    def launch(self) -> None:
        """Begin; what this executor left unfinished goes on by itself.

        Raises Refused for a journal with foreign rows, Unavailable for one that is not private,
        InternalError when another engine is open in this process.
        """
        if not _one_per_process.acquire(blocking=False):
            raise InternalError("engine-open", "this process already has a durable engine")
        try:
            self._launch()
        except BaseException:
            self.close()
            raise

    def _launch(self) -> None:
        self._database = database = guard.open_journal(self._path)
        sa.event.listen(database, "checkout", self._check_open)
        guard.refuse_foreign_rows(database, self._serializer)
        guard.use(self._serializer)
        self._vendor = DBOS(
            config={
                "name": "ringfence",
                "system_database_url": f"sqlite:///{self._path}",
                "system_database_engine": database,
                "application_version": f"{PROTOCOL}+{self._pool}",
                "executor_id": self._executor,
                "serializer": self._serializer,
                "log_level": "CRITICAL",
                "enable_otlp": False,
                "notification_listener_polling_interval_sec": _POLL,
            }
        )
        for name, fn in self._workflows.items():
            decorate = DBOS.workflow(name=name, max_recovery_attempts=_RECOVERIES)
            self._handles[name] = decorate(self._entry(fn))
        registry = _get_or_create_dbos_registry()
        registry._register_internal_queue(INTERNAL_QUEUE_NAME, polling_interval_sec=_CLAIM)  # noqa: SLF001 - shortens the time to recovery
        DBOS.launch()

    def start(self, workflow: str, id: str, payload: Json) -> None:  # noqa: A002 - the port's word
        """Start a workflow, once per id. Raises InputError for an unknown workflow."""
        self.begin(workflow, id, payload)
        self.flush()

    def begin(self, workflow: str, id_: str, payload: Json) -> None:
        """Start a workflow from outside or, journalled, from within another."""
        function = self._handles.get(workflow)
        if function is None:
            raise InputError("workflow-unknown", f"no workflow is called {workflow!r}")
        bound = bind(f"input {id_}", payload)
        with SetWorkflowID(id_):
            DBOS.start_workflow(function, bound)

    def signal(self, id: str, message: Json, key: str) -> bool:  # noqa: A002 - the port's word
        """Send a message, once per key; False when there is no such workflow."""
        try:
            with self._order:
                # The journal orders messages by the millisecond; two of one sender must differ.
                time.sleep(max(0.0, self._last_sent + 0.002 - time.monotonic()))
                self.send(id, message, key)
                self._last_sent = time.monotonic()
            self.flush()
        except DBOSNonExistentWorkflowError:
            return False
        return True

    def send(self, id_: str, message: Json, key: str) -> None:
        """Write a message to the journal and wake its receiver if it waits in this process."""
        DBOS.send(id_, bind(f"signal {id_}", checked(message)), _SIGNAL, idempotency_key=key)
        self._wake(id_, _SIGNAL)

    def flush(self) -> None:
        """Return when what was written so far survives a power cut."""
        guard.flush(self._path)

    def status(self, id: str) -> WorkflowState | None:  # noqa: A002 - the port's word
        """Give the state of a workflow. Raises Refused when its result is not ours."""
        rows = self._rows("WHERE s.workflow_uuid = :id", {"id": id})
        if not rows:
            return None
        _, name, word, output, error = rows[0]
        status = _STATUS.get(word, WorkflowStatus.FAILED)
        result: Json = None
        if status is WorkflowStatus.SUCCEEDED:
            result = unbind(f"result {id}", guard.sealed_json(self._serializer, output))
        text = guard.sealed_json(self._serializer, error) or ""
        return WorkflowState(id=id, workflow=name, status=status, result=result, error=str(text))

    def wait(self, id: str, seconds: float | None = None) -> WorkflowState | None:  # noqa: A002 - the port's word
        """Wait until a workflow has ended; None when it has not after ``seconds``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            rows = self._rows("WHERE s.workflow_uuid = :id", {"id": id})
            if rows and _STATUS.get(rows[0][2]) is not WorkflowStatus.PENDING:
                return self.status(id)
            left = _FOREVER if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return None
            with self._ended:
                # Its function has returned, only the outcome is still to be written: look often.
                self._ended.wait(min(left, 0.001 if id in self._ending else _POLL))

    def cancel(self, id: str) -> None:  # noqa: A002 - the port's word
        """End a workflow at its next call; harmless when it has ended."""
        DBOS.cancel_workflow(id)
        self._wake(id, _SIGNAL)
        self._wake(id, _SLEEP)

    def list_workflows(self) -> list[WorkflowState]:
        """Give all workflows of the journal, oldest first, without results."""
        return [
            WorkflowState(id=id_, workflow=name, status=_STATUS.get(word, WorkflowStatus.FAILED))
            for id_, name, word, _, _ in self._rows("ORDER BY s.created_at, s.rowid", {})
        ]

    def recover(self, executors: Sequence[str]) -> list[str]:
        """Take over what dead executors of this pool left unfinished."""
        handles = DBOS._recover_pending_workflows(list(executors))  # noqa: SLF001 - no public way
        return [handle.get_workflow_id() for handle in handles]

    def attempts(self, id_: str) -> int:
        """Give how often the workflow was begun, over all processes."""
        query = "SELECT recovery_attempts FROM workflow_status WHERE workflow_uuid = :id"
        with self._open_database().connect() as connection:
            return int(connection.execute(sa.text(query), {"id": id_}).scalar_one())

    def close(self) -> None:
        """Stop working and wake what waits; harmless when repeated."""
        if self._closed or self._database is None:
            return
        self._closed = True
        for waiter in self._waiters().values():
            waiter.set()
        DBOS.destroy(destroy_registry=True)
        self._database.dispose()
        _one_per_process.release()

    def _entry(self, fn: Workflow) -> Callable[[Json], Json]:
        """Give the function the vendor runs: opens the payload, binds the result."""

        def run(bound: Json) -> Json:
            id_ = str(DBOS.workflow_id)
            try:
                result = fn(_Context(self, id_), unbind(f"input {id_}", bound))
                return bind(f"result {id_}", result)
            finally:
                with self._ended:
                    self._ending.add(id_)
                    self._ended.notify_all()

        return run

    def _wake(self, id_: str, topic: str) -> None:
        """Spare a receiver in this process the poll interval."""
        waiter = self._waiters().get(f"{id_}::{topic}")
        if waiter is not None:
            waiter.set()

    def _waiters(self) -> dict[str, KeySignal]:
        """Give what waits in this process, by workflow and topic."""
        database = self._vendor and self._vendor._sys_db_field  # noqa: SLF001 - no public way
        waiting = database.notifications_map.snapshot() if database else ()
        return {key: signal for key, _, signal in waiting}

    def _check_open(self, *_: object) -> None:
        if self._closed:
            raise _ClosedError

    def _open_database(self) -> sa.Engine:
        if self._database is None:
            raise InternalError("engine-closed", "the durable engine was not launched")
        return self._database

    def _rows(self, where: str, values: dict[str, str]) -> list[tuple[str, str, str, str, str]]:
        query = f"{_ROWS} {where}"
        with self._open_database().connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query), values)]
