"""Reads the records of agents and steps: attempts, events, outputs, findings, the graph.

Invariants:
1. A step the chain did not list is shown as an agent that is not listed, never left out.
2. An edge is fired only when its event is on the record as emitted by its source.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from ringfence.audit.record import EventName, Record
from ringfence.chain.words import CHAIN_COMPLETE, CHAIN_START
from ringfence.control.shape import Fields, OddShape
from ringfence.control.view import (
    AgentView,
    EdgeView,
    EventView,
    FindingView,
    OutputView,
    RedactionView,
    StepView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Members:
    """What the agents of one run did, apart from the doors."""

    def __init__(self) -> None:
        self._members: dict[str, AgentView] = {}
        self._steps: dict[str, StepView] = {}
        self._events: list[EventView] = []
        self._findings: list[FindingView] = []
        self._redactions: list[RedactionView] = []
        self.handlers: Mapping[str, Callable[[int, Record, Fields], None]] = {
            EventName.STEP_START: self._step_start,
            EventName.STEP_FINISH: self._step_finish,
            EventName.EVENT_EMIT: self._event,
            EventName.EVENT_DENY: self._event,
            EventName.OUTPUT_REDACT: self._redact,
            EventName.GATE_PASS: self._gate,
            EventName.GATE_FAIL: self._gate,
        }

    def listed(self, agents: tuple[Fields, ...]) -> None:
        """Take in the agents the chain lists. Raises OddShape before anything is taken."""
        found = [
            AgentView(
                name=agent.need("name"),
                type=agent.text("type") or "",
                triggers=agent.texts("triggers"),
                emits=agent.texts("emits"),
                steps=(),
            )
            for agent in agents
        ]
        self._members = {member.name: member for member in found}

    def agents(self) -> tuple[AgentView, ...]:
        """Give the agents in the order of the chain, then those only steps know."""
        steps: dict[str, list[StepView]] = {name: [] for name in self._members}
        for step in self._steps.values():
            steps.setdefault(step.agent, []).append(step)
        return tuple(
            replace(self._members[name], steps=tuple(taken))
            if name in self._members
            else AgentView(
                name=name, type="", triggers=(), emits=(), steps=tuple(taken), listed=False
            )
            for name, taken in steps.items()
        )

    def events(self) -> tuple[EventView, ...]:
        """Give every event, in order."""
        return tuple(self._events)

    def findings(self) -> tuple[FindingView, ...]:
        """Give what checks and gates reported, in order."""
        return tuple(self._findings)

    def redactions(self) -> tuple[RedactionView, ...]:
        """Give what was taken out of outputs, in order."""
        return tuple(self._redactions)

    def _step_start(self, _position: int, record: Record, detail: Fields) -> None:
        step = self._step(record)
        self._steps[step.key] = replace(
            step,
            started=step.started or record.time,
            starts=step.starts + 1,
            plan=record.digest,
            level=detail.text("level"),
            backend=detail.text("backend"),
            command=detail.text("argv0"),
            routes=detail.number("routes"),
            secrets=detail.texts("secrets"),
            env=detail.texts("env"),
        )

    def _step_finish(self, position: int, record: Record, detail: Fields) -> None:
        step = self._step(record)
        output = detail.object("output")
        findings = tuple(
            FindingView(
                position=position,
                agent=step.agent,
                step=step.key,
                check=finding.need("check"),
                severity=finding.need("severity"),
                message=finding.text("message") or "",
            )
            for finding in detail.objects("findings")
        )
        self._steps[step.key] = replace(
            step,
            status=detail.need("status"),
            exit_code=detail.number("exit_code"),
            ms=detail.number("ms"),
            finished=record.time,
            findings=findings,
            output=None if output is None else OutputView(
                name=output.need("name"), size=output.number("bytes"), sha256=output.text("sha256")
            ),
        )  # fmt: skip
        self._findings.extend(findings)

    def _step(self, record: Record) -> StepView:
        if not record.step:
            raise OddShape("the step is missing")
        known = self._steps.get(record.step)
        if known is not None:
            return known
        agent, mark, attempt = record.step.rpartition("#")
        number = (
            int(attempt) if attempt.isascii() and attempt.isdigit() and len(attempt) < 10 else None
        )
        name = agent if mark else record.step
        return StepView(key=record.step, agent=record.agent or name, attempt=number)

    def _event(self, position: int, record: Record, _detail: Fields) -> None:
        if not record.subject:
            raise OddShape("the event's name is missing")
        self._events.append(
            EventView(
                position=position,
                time=record.time,
                agent=record.agent,
                name=record.subject,
                emitted=record.event == EventName.EVENT_EMIT and record.decision in {None, "allow"},
            )
        )

    def _redact(self, position: int, record: Record, detail: Fields) -> None:
        self._redactions.append(
            RedactionView(
                position=position,
                agent=record.agent,
                output=record.subject or "",
                kind=detail.text("kind") or "",
                count=detail.number("count") or 0,
            )
        )

    def _gate(self, position: int, record: Record, detail: Fields) -> None:
        self._findings.extend([
            FindingView(
                position=position,
                agent=record.agent,
                step=record.step,
                check=issue.text("type") or "gate",
                severity=issue.need("severity"),
                message=issue.text("description") or "",
            )
            for issue in detail.objects("issues")
        ])  # fmt: skip


def edges_of(
    agents: tuple[AgentView, ...], events: tuple[EventView, ...], *, begun: bool
) -> tuple[EdgeView, ...]:
    """Give the graph: who starts whom by which event, from the start to the end of the chain."""
    fired = {(event.agent, event.name) for event in events if event.emitted}
    sources: dict[str, list[str]] = {}
    for agent in agents:
        for event in dict.fromkeys(agent.emits):
            sources.setdefault(event, []).append(agent.name)
    edges: list[EdgeView] = []
    for agent in agents:
        for trigger in dict.fromkeys(agent.triggers):
            if trigger == CHAIN_START:
                edges.append(EdgeView(source=None, target=agent.name, event=trigger, fired=begun))
                continue
            edges.extend(
                EdgeView(
                    source=source,
                    target=agent.name,
                    event=trigger,
                    fired=(source, trigger) in fired,
                )
                for source in sources.get(trigger, ())
            )
    edges.extend(
        EdgeView(source=s, target=None, event=CHAIN_COMPLETE, fired=(s, CHAIN_COMPLETE) in fired)
        for s in sources.get(CHAIN_COMPLETE, ())
    )
    return tuple(edges)
