"""Reading back what an agent left: output, events, changed files, verdict. All of it is hostile.

Invariants:
1. An output is stored only after every known value and credential was taken out of it.
2. An event counts only when policy allows this agent to emit it; the file it stood in says nothing.
3. A changed file is merged, held or dropped by one decision each, recorded before the effect.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ringfence.agents.drive import TIMED_OUT, AgentResult
from ringfence.agents.outbox import Outbox, read_outbox
from ringfence.apps.plans import VERDICT_FILE, needs_box
from ringfence.apps.runner.changes import Settler
from ringfence.apps.runner.handoff import StepDir, read_output, store_file
from ringfence.apps.runner.progress import tell
from ringfence.apps.runner.world import World
from ringfence.audit.record import EventName
from ringfence.chain.words import Agent, AgentType, Json
from ringfence.checks.finding import Finding, Severity
from ringfence.checks.gate import Issue, Verdict, judge, read_verdict
from ringfence.checks.output.json_schema import validate
from ringfence.checks.output.redact import redact
from ringfence.checks.output.scrub import Scrubber
from ringfence.engine.events import (
    GateFailed,
    GateIssue,
    StepEvent,
    StepFailed,
    StepSucceeded,
    StepTimedOut,
)
from ringfence.policy.decide import decide_closed
from ringfence.policy.decision import Decision
from ringfence.policy.effect import EmitEffect
from ringfence.policy.grant import Grant

GATE_CHECKS = ("secrets", "known-values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What came of one attempt."""

    event: StepEvent
    exit_code: int | None = None
    output: dict[str, Json] | None = None
    findings: tuple[Finding, ...] = ()
    reason: str = ""


class Collector:
    """Collects one attempt."""

    def __init__(
        self, world: World, agent: Agent, attempt: int, step: StepDir, scrubber: Scrubber
    ) -> None:
        self._world = world
        self._agent = agent
        self._attempt = attempt
        self._step = step
        self._scrubber = scrubber
        self._findings: list[Finding] = []
        self._issues: list[Issue] = []

    def ended(self, result: AgentResult, grant: Grant, settler: Settler | None) -> Collected:
        """Collect an attempt that ran in a box."""
        self._findings += result.transcript.findings
        failure = self._failure(result)
        output = None
        if failure is None:
            try:
                output, problem = self._store_output()
            except ValueError as error:
                problem = str(error)
            failure = self._failed(problem) if problem else None
        if settler is not None:
            settler.settle(failed=failure is not None)
        if failure is not None:
            return self._done(failure, exit_code=result.code, output=output)
        emitted = self._emitted(grant)
        if self._agent.type is AgentType.GATE:
            return self._done(self.gate(), exit_code=result.code, output=output)
        if self._issues:
            return self._done(self._gate_event(self._issues), exit_code=result.code, output=output)
        event = StepSucceeded(agent=self._agent.name, attempt=self._attempt, emitted=emitted)
        return self._done(event, exit_code=result.code, output=output)

    def judged(self) -> Collected:
        """Collect a gate that only runs deterministic checks."""
        return self._done(self.gate())

    def gate(self) -> StepEvent:
        """Judge the gate's inputs, and the verdict its agent gave when it has one."""
        agent = self._agent
        files = self._world.data.run(self._world.row.id) / "files"
        inputs = {}
        verdicts: list[Verdict] = []
        for name in agent.input:
            data = read_output(files, name, limit=self._limit())
            if data is None:
                verdicts.append(_missing(name))
            else:
                inputs[name] = data
        names = agent.checks or GATE_CHECKS
        if agent.input or agent.checks or not needs_box(agent):
            verdicts.append(
                judge(inputs, names, scrubber=self._scrubber, schema=agent.output_schema)
            )
        if needs_box(agent):
            stored = read_output(files, agent.output or VERDICT_FILE, limit=self._limit())
            verdicts.append(read_verdict(stored or b""))
        issues = [issue for verdict in verdicts for issue in verdict.issues]
        if all(verdict.passed for verdict in verdicts):
            self._record_gate(EventName.GATE_PASS, issues)
            return StepSucceeded(agent=agent.name, attempt=self._attempt)
        return self._gate_event(issues)

    def _gate_event(self, issues: Sequence[Issue]) -> GateFailed:
        self._record_gate(EventName.GATE_FAIL, issues)
        return GateFailed(
            agent=self._agent.name,
            attempt=self._attempt,
            issues=tuple(
                GateIssue(type=i.type, description=i.description, severity=i.severity.value)
                for i in issues
            ),
        )

    def _record_gate(self, event: EventName, issues: Sequence[Issue]) -> None:
        told: list[Json] = [issue.to_json() for issue in issues]
        self._world.found[self._agent.name] = told
        self._world.record(event, agent=self._agent.name, attempt=self._attempt, issues=told)

    def _limit(self) -> int:
        return self._agent.limits.output_bytes or 16 * 1024**2

    def _failure(self, result: AgentResult) -> StepEvent | None:
        name, attempt = self._agent.name, self._attempt
        if result.ended_by == TIMED_OUT:
            return StepTimedOut(agent=name, attempt=attempt)
        if result.ended_by is not None:
            return StepFailed(
                agent=name, attempt=attempt, retryable=False, reason=f"ended by {result.ended_by}"
            )
        if result.code != 0:
            return self._failed(f"exit code {result.code}", retryable=True)
        return None

    def _failed(self, reason: str, *, retryable: bool = False) -> StepFailed:
        return StepFailed(
            agent=self._agent.name, attempt=self._attempt, retryable=retryable, reason=reason
        )

    def _store_output(self) -> tuple[dict[str, Json] | None, str]:
        """Store the scrubbed output; give its description and what is wrong with it, if anything.

        Raises ValueError for an output that is no plain file within its bound.
        """
        name = self._agent.output
        if name is None:
            return None, ""
        data = read_output(self._step.out, name, limit=self._limit())
        (self._step.out / name).unlink(missing_ok=True)
        if data is None:
            return None, f"no output file {name!r} was written"
        if self._agent.checks and self._agent.type is not AgentType.GATE:
            # On what the agent wrote: what is taken out next is still what it tried.
            judged = judge(
                {name: data}, self._agent.checks, scrubber=self._scrubber,
                schema=self._agent.output_schema,
            )  # fmt: skip
            self._issues += judged.issues
        clean, found = self._clean(data)
        for finding in found:
            self._world.record(
                EventName.OUTPUT_REDACT,
                agent=self._agent.name,
                attempt=self._attempt,
                subject=name,
                kind=finding.check,
                message=finding.message,
                count=finding.detail.get("count", 1),
            )
            tell("finding", agent=self._agent.name, text=finding.message)
        self._findings += found
        schema = self._agent.output_schema
        wrong = validate(clean, schema) if schema is not None else ()
        self._findings += wrong
        directory = self._world.data.run(self._world.row.id) / "files"
        store_file(directory, name, clean)
        described: dict[str, Json] = {
            "name": name, "bytes": len(clean), "sha256": sha256(clean).hexdigest(),
        }  # fmt: skip
        return described, wrong[0].message if wrong else ""

    def _clean(self, data: bytes) -> tuple[bytes, list[Finding]]:
        scrubbed = self._scrubber.scrub(data)
        redacted = redact(scrubbed.data)
        return redacted.data, [*scrubbed.findings, *redacted.findings]

    def _emitted(self, grant: Grant) -> tuple[str, ...]:
        box = self._outbox()
        for rejected in box.rejected:
            decision = Decision.deny("outbox-invalid", rejected)
            self._deny_event(decision, None)
        names: list[str] = []
        for proposal in box.proposals:
            effect = EmitEffect(event=proposal.event)
            decision = decide_closed(effect, grant, now=self._world.now())
            if decision.allowed:
                names.append(proposal.event)
            else:
                self._deny_event(decision, proposal.event)
        # An agent that proposes nothing and ended well has done all that it is there for.
        return tuple(names) or grant.emits

    def _outbox(self) -> Outbox:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._step.outbox, flags)
        try:
            return read_outbox(fd)
        finally:
            os.close(fd)

    def _deny_event(self, decision: Decision, event: str | None) -> None:
        self._world.record(
            EventName.EVENT_DENY,
            agent=self._agent.name,
            attempt=self._attempt,
            decision=decision,
            subject=event,
        )
        tell("denied", agent=self._agent.name, what=f"event {event}", rule=decision.rule,
             reason=decision.reason)  # fmt: skip

    def _done(
        self,
        event: StepEvent,
        *,
        exit_code: int | None = None,
        output: dict[str, Json] | None = None,
    ) -> Collected:
        reason = event.reason if isinstance(event, StepFailed) else ""
        return Collected(
            event=event,
            exit_code=exit_code,
            output=output,
            findings=tuple(self._findings),
            reason=reason,
        )


def _missing(name: str) -> Verdict:
    issue = Issue(
        type="missing-input", description=f"there is no file {name!r}", severity=Severity.HIGH
    )
    return Verdict(passed=False, issues=(issue,))
