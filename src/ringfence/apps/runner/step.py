"""One attempt of one agent, from grant to event.

Steps (each on the record before it takes effect):
1. Compile grant and plan; a plan this host cannot carry out ends here.
2. Lend the secrets: one placeholder and one lease for each, known to the broker only.
3. Start the box, hand its socket to the broker, drive the agent to its end.
4. Close the way out and the box; leases end here, whatever happened.
5. Read back what the agent left: output, proposed events, changed files. All of it is hostile.
"""

import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ringfence.agents.drive import AgentResult, drive
from ringfence.agents.transcript import Recorder
from ringfence.apps.plans import build_plan, effective, needs_box
from ringfence.apps.runner.changes import Settler
from ringfence.apps.runner.collect import Collected, Collector
from ringfence.apps.runner.handoff import StepDir, prepare
from ringfence.apps.runner.progress import tell
from ringfence.apps.runner.world import World
from ringfence.audit.record import EventName
from ringfence.chain.errors import InputError, Refused, RingfenceError
from ringfence.chain.words import Agent, Delivery, SecretUse
from ringfence.checks.output.known_values import KnownValue
from ringfence.checks.output.scrub import Scrubber
from ringfence.engine.box import Box, Stdio
from ringfence.engine.events import (
    GateFailed,
    StepEvent,
    StepFailed,
    StepSucceeded,
    StepTimedOut,
)
from ringfence.engine.plan import RunPlan
from ringfence.engine.planning import prompt_text
from ringfence.gateway.lease import LiveLease
from ringfence.policy.decision import Decision
from ringfence.policy.grant import Grant
from ringfence.vault.placeholder import RANDOM_BYTES, mint
from ringfence.vault.secret import Secret

STATUS: dict[type[StepEvent], str] = {
    StepSucceeded: "succeeded",
    GateFailed: "failed",
    StepFailed: "failed",
    StepTimedOut: "timed-out",
}

# A lease ends a little after the step's wall clock would have ended the box anyway.
LEASE_MARGIN = timedelta(seconds=30)


@dataclass(slots=True, kw_only=True)
class Loan:
    """What one step was lent: leases for the broker, and what the box may see by variable."""

    leases: list[LiveLease]
    shown: dict[str, str]

    def wipe(self) -> None:
        """Forget our copies of the values."""
        for lease in self.leases:
            lease.value.wipe()


class StepRunner:
    """Carries out the steps of one run."""

    def __init__(self, world: World) -> None:
        self._world = world

    def reap(self, agent: str, attempt: int) -> None:
        """End what an interrupted attempt may have left running, and say so on the record."""
        state = self._world.open_state()
        try:
            mark = state.step_mark(self._world.row.id, agent, attempt)
        finally:
            state.close()
        if mark:
            ended = self._world.backend.reap(mark)
            self._world.record(
                EventName.STEP_REAP, agent=agent, attempt=attempt, subject=mark, processes=ended
            )

    def run(self, agent: Agent, attempt: int) -> StepEvent:
        """Run one attempt to its end. Raises RingfenceError for what prevented a start."""
        tell("step", agent=agent.name, attempt=attempt, status="started")
        started = time.monotonic()
        self._mark(agent.name, attempt, "")
        try:
            collected = self._attempt(agent, attempt)
        except RingfenceError as error:
            self._refused(agent, attempt, error)
            raise
        ms = round((time.monotonic() - started) * 1_000)
        event = collected.event
        status = STATUS[type(event)]
        self._world.record(
            EventName.STEP_FINISH,
            agent=agent.name,
            attempt=attempt,
            status=status,
            exit_code=collected.exit_code,
            ms=ms,
            output=collected.output,
            findings=[f.to_json() for f in collected.findings],
        )
        tell("step", agent=agent.name, attempt=attempt, status=status, ms=ms,
             reason=collected.reason, exit_code=collected.exit_code)  # fmt: skip
        return event

    def _mark(self, agent: str, attempt: int, mark: str) -> None:
        """Note that an attempt began, and by which mark its box can be found."""
        state = self._world.open_state()
        try:
            state.mark_step(self._world.row.id, agent, attempt, mark)
        finally:
            state.close()

    def _refused(self, agent: Agent, attempt: int, error: RingfenceError) -> None:
        decision = Decision.deny(error.code, error.message, where=error.where, fix=error.hint)
        event = EventName.CONFIG_REJECT
        if isinstance(error, Refused):
            event = EventName.ISOLATION_REFUSE
        if isinstance(error, Refused | InputError):
            self._world.record(event, agent=agent.name, attempt=attempt, decision=decision)
        tell("step", agent=agent.name, attempt=attempt, status="failed", ms=0,
             reason=f"{error.code}: {error.message}", hint=error.hint,
             refused=isinstance(error, Refused))  # fmt: skip

    def _attempt(self, agent: Agent, attempt: int) -> Collected:
        world = self._world
        agent = effective(agent)
        prompt = prompt_text(agent)
        root = world.data.step(world.row.id, agent.name, attempt)
        if not needs_box(agent):
            step = prepare(root, prompt=prompt, ca_pem=b"")
            self._record_start(agent, attempt, plan=None)
            return Collector(world, agent, attempt, step, Scrubber(self._all_values())).judged()
        until = world.now() + timedelta(seconds=agent.timeout_seconds) + LEASE_MARGIN
        files = world.data.run(world.row.id) / "files"
        inputs = {name: str(files / name) for name in agent.input}
        handoff = StepDir(root=root).handoff(inputs)
        grant, plan = build_plan(
            world.chain, agent, run=world.row.id, attempt=attempt, until=until,
            handoff=handoff, facts=world.facts,
        )  # fmt: skip
        self._record_start(agent, attempt, plan=plan)
        loan = self._lend(grant, attempt, until=until)
        key = f"{agent.name}#{attempt}"
        try:
            route = world.broker.open_step(grant.run, agent.name, key, grant, loan.leases)
            step = prepare(root, prompt=prompt, ca_pem=route.ca_pem.encode())
            scrubber = Scrubber(self._all_values())
            result = self._drive(agent, attempt, plan, step=step, loan=loan, scrubber=scrubber)
            settler = None
            if plan.workspace is not None and plan.workspace.access == "write":
                directory = Path(plan.workspace.directory)
                settler = Settler(world, grant, attempt, step, directory)
            return Collector(world, agent, attempt, step, scrubber).ended(result, grant, settler)
        finally:
            world.broker.close_step(grant.run, key)
            loan.wipe()
            self._record_return(grant, attempt, loan)

    def _record_start(self, agent: Agent, attempt: int, *, plan: RunPlan | None) -> None:
        if plan is None:
            self._world.record(
                EventName.STEP_START, agent=agent.name, attempt=attempt, argv0="", secrets=[],
                env=[], routes=0, backend="none", level="none",
            )  # fmt: skip
            return
        self._world.record(
            EventName.STEP_START,
            agent=agent.name,
            attempt=attempt,
            digest=plan.digest,
            argv0=plan.argv[0],
            secrets=list(plan.secrets),
            env=[v.name for v in plan.env],
            routes=len(plan.routes),
            backend=plan.backend,
            level=plan.level,
        )

    def _lend(self, grant: Grant, attempt: int, *, until: datetime) -> Loan:
        loan = Loan(leases=[], shown={})
        if not grant.secrets:
            return loan
        with self._world.open_secrets() as vault:
            versions = {entry.name: entry.version for entry in vault.list()}
            for use in grant.secrets:
                if use.name not in versions:
                    raise InputError(
                        "unknown-secret",
                        f"agent {grant.agent!r} needs secret {use.name!r}, which is not set",
                        hint=f"ringfence secrets set {use.name}",
                        where=use.where,
                    )
                version = versions[use.name]
                self._record_loan(grant, attempt, use, version)
                secret = vault.read(use.name)
                self._lend_one(use, secret, version=version, loan=loan, until=until)
        return loan

    @staticmethod
    def _lend_one(
        use: SecretUse, secret: Secret, *, version: int, loan: Loan, until: datetime
    ) -> None:
        value = secret.reveal()
        if use.delivery is Delivery.UNSAFE_ENV:
            loan.shown[use.env] = value.decode("utf-8", "surrogateescape")
            secret.wipe()
            return
        loan.shown[use.env] = mint(value, random=os.urandom(RANDOM_BYTES))
        loan.leases.append(
            LiveLease(
                name=use.name,
                version=version,
                host=use.host,
                slot=use.slot,
                placeholder=loan.shown[use.env],
                value=secret,
                until=until,
            )
        )

    def _record_loan(self, grant: Grant, attempt: int, use: SecretUse, version: int) -> None:
        degraded = use.delivery is Delivery.UNSAFE_ENV
        self._world.record(
            EventName.SETTING_UNSAFE if degraded else EventName.SECRET_LEASE,
            agent=grant.agent,
            attempt=attempt,
            subject=use.name,
            host=use.host,
            slot=use.slot,
            version=version,
            delivery=use.delivery.value,
        )
        if degraded:
            tell("degraded", agent=grant.agent, secret=use.name)

    def _record_return(self, grant: Grant, attempt: int, loan: Loan) -> None:
        for lease in loan.leases:
            self._world.record(
                EventName.SECRET_REVOKE,
                agent=grant.agent,
                attempt=attempt,
                subject=lease.name,
                host=lease.host,
                slot=lease.slot,
            )

    def _drive(
        self, agent: Agent, attempt: int, plan: RunPlan, *, step: StepDir, loan: Loan,
        scrubber: Scrubber,
    ) -> AgentResult:  # fmt: skip
        world = self._world
        opened: list[Box] = []

        def start(stdio: Stdio) -> Box:
            box = world.backend.start(plan, stdio, loan.shown)
            opened.append(box)
            self._mark(agent.name, attempt, box.mark)
            world.broker.attach(plan.run, f"{agent.name}#{attempt}", box.listener)
            return box

        recorder = Recorder(step.transcript, scrubber)
        try:
            return drive(
                start,
                terminal=plan.terminal,
                prompt=prompt_text(agent) if agent.run else b"",
                recorder=recorder,
                wall_seconds=plan.limits.wall_seconds,
                output_bytes=plan.limits.output_bytes,
                on_line=lambda line: tell("line", agent=agent.name, text=line),
                should_stop=world.stop_event(agent.name),
            )
        finally:
            for box in opened:
                box.close()

    def _all_values(self) -> list[KnownValue]:
        """Give every value of the vault: none of them may stand in anything that is kept."""
        with self._world.open_secrets() as vault:
            return [
                KnownValue(name=entry.name, value=vault.read(entry.name).reveal())
                for entry in vault.list()
            ]
