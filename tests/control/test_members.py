"""Agents, attempts, events and the graph."""

from collections.abc import Callable

from ringfence.audit.record import EventName, Record
from ringfence.control.view import RunView

E = EventName
Make = Callable[..., Record]
Read = Callable[..., RunView]


def start_of(record: Make, step: str, **fields: object) -> Record:
    """Give a step.start as the supervisor writes it."""
    detail = {
        "argv0": "/usr/bin/true", "secrets": ["TOKEN"], "env": ["LANG"], "routes": 3,
        "backend": "native", "level": "L3",
    }  # fmt: skip
    agent = step.split("#", maxsplit=1)[0]
    return record(E.STEP_START, step=step, agent=agent, digest="d" * 64, detail=detail, **fields)


def test_a_step_is_told_from_start_to_finish(read: Read, record: Make, started: Record) -> None:
    """Plan, level, names, exit, output and findings of one attempt."""
    finish = record(
        E.STEP_FINISH, at=9, step="writer#1", agent="writer",
        detail={
            "status": "failed", "exit_code": 3, "ms": 8_000,
            "output": {"name": "draft.md", "bytes": 10, "sha256": "e" * 64},
            "findings": [{"check": "pii", "severity": "high", "message": "an address"}],
        },
    )  # fmt: skip
    view = read(started, start_of(record, "writer#1"), finish)
    (step,) = view.agents[0].steps
    assert (step.attempt, step.status, step.exit_code, step.ms) == (1, "failed", 3, 8_000)
    assert (step.plan, step.level, step.backend) == ("d" * 64, "L3", "native")
    assert (step.secrets, step.env, step.routes) == (("TOKEN",), ("LANG",), 3)
    assert step.output is not None
    assert step.output.name == "draft.md"
    assert [(f.check, f.severity, f.agent) for f in view.findings] == [("pii", "high", "writer")]
    assert view.agents[0].status == "failed"


def test_attempts_stand_under_their_agent(read: Read, record: Make, started: Record) -> None:
    """The last attempt is the agent's status."""
    done = record(E.STEP_FINISH, step="writer#1", agent="writer", detail={"status": "failed"})
    view = read(started, start_of(record, "writer#1"), done, start_of(record, "writer#2"))
    assert [s.attempt for s in view.agents[0].steps] == [1, 2]
    assert view.agents[0].status == "not finished"


def test_a_step_started_twice_says_so(read: Read, record: Make, started: Record) -> None:
    """After a crash the same attempt may start again; both starts count."""
    view = read(started, start_of(record, "writer#1"), start_of(record, "writer#1", at=5))
    (step,) = view.agents[0].steps
    assert step.starts == 2
    assert step.started == started.time


def test_an_agent_the_chain_does_not_list_is_shown(
    read: Read, record: Make, started: Record
) -> None:
    """A step of a stranger is the last thing to leave out."""
    view = read(started, start_of(record, "stranger#1"))
    assert [(a.name, a.listed) for a in view.agents][-1] == ("stranger", False)


def test_the_graph_follows_triggers_and_emits(read: Read, record: Make, started: Record) -> None:
    """Edges run from start to end; those whose event was emitted have fired."""
    view = read(started, record(E.EVENT_EMIT, agent="writer", subject="draft:ready"))
    assert [(e.source, e.target, e.event, e.fired) for e in view.edges] == [
        (None, "writer", "chain:start", True),
        ("writer", "editor", "draft:ready", True),
        ("editor", None, "chain:complete", False),
    ]


def test_a_refused_event_fires_nothing(read: Read, record: Make, started: Record) -> None:
    """An event that was denied, or emitted by somebody else, leaves the edge open."""
    view = read(
        started,
        record(E.EVENT_DENY, agent="writer", subject="draft:ready"),
        record(E.EVENT_EMIT, agent="editor", subject="draft:ready"),
        record(E.EVENT_EMIT, agent="writer", subject="draft:ready", decision="deny"),
    )
    assert not view.edges[1].fired
    assert [e.emitted for e in view.events] == [False, True, False]


def test_gate_issues_and_redactions_are_kept(read: Read, record: Make) -> None:
    """What a gate reports is a finding; what was cut out of an output is counted."""
    issue = {"type": "tone", "severity": "low", "description": "too loud"}
    view = read(
        record(E.GATE_FAIL, agent="gate", step="gate#1", detail={"issues": [issue]}),
        record(E.OUTPUT_REDACT, agent="a", subject="o.md", detail={"kind": "key", "count": 2}),
    )
    assert [(f.check, f.message) for f in view.findings] == [("tone", "too loud")]
    assert [(r.output, r.kind, r.count) for r in view.redactions] == [("o.md", "key", 2)]


def test_a_half_odd_finish_changes_nothing(read: Read, record: Make, started: Record) -> None:
    """One bad finding and the whole record is listed instead of half used."""
    finish = record(
        E.STEP_FINISH, step="writer#1", agent="writer",
        detail={"status": "succeeded", "findings": [{"check": "pii"}]},
    )  # fmt: skip
    view = read(started, start_of(record, "writer#1"), finish)
    assert view.agents[0].status == "not finished"
    assert view.findings == ()
    assert len(view.unshown) == 1
