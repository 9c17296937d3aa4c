"""Open the doors of one run, hand them to the durable engine, and watch until it rests.

Invariants:
1. One runner per run, by a lock the kernel releases; a second one says so and leaves.
2. Unsafe settings stand in the audit before anything of the run happens.
3. The runner rests (exit with the run `waiting`) only when nothing but people can move it.
"""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ringfence.apps.launch import BUSY
from ringfence.apps.load import load
from ringfence.apps.opening import open_audit, preload_engine
from ringfence.apps.plans import Facts, check_agents
from ringfence.apps.runner.progress import tell
from ringfence.apps.runner.watch import Watcher
from ringfence.apps.runner.world import World
from ringfence.apps.settings import DataDir, host_failed, open_data_dir
from ringfence.audit.record import EventName, Record
from ringfence.chain.errors import InternalError, Refused, RingfenceError, Unavailable
from ringfence.chain.words import Chain, Json
from ringfence.control.runs import RunStatus
from ringfence.gateway.client import Broker
from ringfence.gateway.settings import BrokerSettings
from ringfence.policy.decision import Verdict
from ringfence.sandbox.native import NativeBackend
from ringfence.store.audit_log import SqliteAuditLog
from ringfence.store.lock import RunLock
from ringfence.store.state import StateStore

if TYPE_CHECKING:
    from ringfence.engine.durable import DurableEngine

MAX_RUN_ID = 64


def main(argv: list[str]) -> int:
    """Run the run named on standard input to its end or to its rest."""
    data = open_data_dir(argv[0])
    # Whoever started us still reads the chain; meanwhile the engine's modules are loaded.
    loading = threading.Thread(target=preload_engine, daemon=True)
    loading.start()
    run = sys.stdin.readline(MAX_RUN_ID).strip()
    if not run:
        # Nothing was begun; the modules that are still loading are of no use to anybody.
        os._exit(0)
    with RunLock(data.run(run)) as lock:
        if not lock.held:
            return BUSY
        try:
            return Runner(data, run).run()
        except RingfenceError as error:
            _give_up(data, run, error)
            return 1
        except OSError as error:
            _give_up(data, run, host_failed(error))
            return 1


def _give_up(data: DataDir, run: str, error: RingfenceError) -> None:
    """Say why the run could not start or go on; refusals end it, the world's failures do not."""
    where = str(error.where) if error.where else None
    tell("error", code=error.code, message=error.message, hint=error.hint, where=where,
         refused=isinstance(error, Refused))  # fmt: skip
    if isinstance(error, Unavailable):
        return
    event = EventName.ISOLATION_REFUSE if isinstance(error, Refused) else EventName.CONFIG_REJECT
    record = Record(
        time=datetime.now(UTC),
        event=event,
        actor="engine",
        run=run,
        rule=error.code,
        decision=Verdict.DENY.value,
        reason=error.message,
        where=where,
    )
    try:
        with open_audit(data) as audit:
            audit.append([record])
    except RingfenceError as unrecorded:
        # Without a record the run does not change: it stays where it was, to be resumed.
        tell("error", code=unrecorded.code, message=unrecorded.message, hint=unrecorded.hint)
        return
    state = StateStore(data.state)
    try:
        state.set_status(
            run, RunStatus.FAILED, reason=f"{error.code}: {error.message}", now=datetime.now(UTC)
        )
    finally:
        state.close()


class Runner:
    """One runner process."""

    def __init__(self, data: DataDir, run: str) -> None:
        self._data = data
        state = StateStore(data.state)
        try:
            self._row = state.run(run)
        finally:
            state.close()
        self._cancel = threading.Event()

    def run(self) -> int:
        """Carry the run out."""
        row = self._row
        chain = self._load()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        facts = Facts(
            chain_file=Path(row.file),
            search=tuple(str(row.settings.get("search", "/usr/bin:/bin")).split(":")),
            client=_text(row.settings.get("client")),
        )
        check_agents(chain, facts)
        with open_audit(self._data) as audit:
            self._record_start(audit, chain)
            return self._with_doors(audit, chain, facts)

    def _with_doors(self, audit: SqliteAuditLog, chain: Chain, facts: Facts) -> int:
        # The engine's import, the broker's start and the zygote's start take their time side by
        # side: the last two are other processes.
        with ThreadPoolExecutor(max_workers=2) as pool:
            broker_started = pool.submit(self._start_broker, audit)
            engine_opened = pool.submit(self._open_engine)
            backend = NativeBackend(state_dir=self._data.root)
            broker = broker_started.result()
            engine = engine_opened.result()
        world = World(
            data=self._data, row=self._row, chain=chain, facts=facts, audit=audit,
            backend=backend, broker=broker,
        )  # fmt: skip
        try:
            return Watcher(world, engine, cancel=self._cancel).watch()
        finally:
            backend.close()
            broker.stop()

    def _load(self) -> Chain:
        data = (self._data.run(self._row.id) / "chain").read_bytes()
        variables = dict(self._row.variables)
        chain = load(data, file=self._row.file, variables=variables)
        if chain.digest != self._row.digest:
            raise InternalError("chain-changed", "the stored chain is not the one that was started")
        return chain

    def _record_start(self, audit: SqliteAuditLog, chain: Chain) -> None:
        row = self._row
        now = datetime.now(UTC)
        fresh = row.status is RunStatus.CREATED
        agents: list[Json] = [
            {
                "name": a.name,
                "type": a.type.value,
                "triggers": list(a.triggers),
                "emits": list(a.emits),
            }
            for a in chain.agents
        ]
        records = [
            Record(
                time=now,
                event=EventName.RUN_START if fresh else EventName.RUN_RESUME,
                actor=row.starter,
                run=row.id,
                subject=chain.name,
                digest=chain.digest,
                detail={"file": row.file, "agents": agents},
            )
        ]
        records += [
            Record(
                time=now,
                event=EventName.SETTING_UNSAFE,
                actor=row.starter,
                run=row.id,
                subject=name,
            )
            for name in ("unsafe_resolver_map", "extra_ca")
            if fresh and name in row.settings
        ]
        audit.append(records)
        state = StateStore(self._data.state)
        try:
            state.set_status(row.id, RunStatus.RUNNING, now=now)
        finally:
            state.close()

    def _start_broker(self, audit: SqliteAuditLog) -> Broker:
        names = self._row.settings.get("unsafe_resolver_map")
        resolver = {k: (str(v),) for k, v in names.items()} if isinstance(names, dict) else {}
        settings = BrokerSettings(
            resolver=resolver, extra_roots_pem=_text(self._row.settings.get("extra_ca")) or ""
        )

        def on_record(record: Record) -> None:
            audit.append([record])
            if record.event in {EventName.EGRESS_DENY, EventName.SECRET_DENY}:
                tell("denied", agent=record.agent, what=record.subject, rule=record.rule,
                     reason=record.reason)  # fmt: skip

        return Broker.start(settings, on_record)

    def _open_engine(self) -> "DurableEngine":
        from ringfence.apps.opening import open_engine  # noqa: PLC0415 - its import costs a second

        return open_engine(self._data, run=self._row.id)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._cancel.set()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
