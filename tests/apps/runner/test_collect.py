"""What an agent left is read as if every byte of it were meant to deceive."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ringfence.agents.drive import TIMED_OUT, AgentResult
from ringfence.agents.transcript import TranscriptStats
from ringfence.apps.runner.collect import Collected, Collector
from ringfence.apps.runner.handoff import StepDir, prepare
from ringfence.checks.output.known_values import KnownValue
from ringfence.checks.output.scrub import Scrubber
from ringfence.engine.events import GateFailed, StepFailed, StepSucceeded, StepTimedOut
from ringfence.policy.grant import compile_grant

Agent = Callable[..., dict[str, object]]
Read = Callable[[Any], list[dict[str, Any]]]
VALUE = b"correct-horse-battery"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The step directory of an agent, and how it is collected."""

    world: Any
    step: StepDir
    files: Path

    def collect(self, *, code: int = 0, ended_by: str | None = None) -> Collected:
        """Collect as after a box that ended so."""
        agent = self.world.chain.agents[-1]
        stats = TranscriptStats(bytes_in=0, bytes_kept=0, truncated=False, sha256="", findings=())
        result = AgentResult(
            code=code, ended_by=ended_by, milliseconds=1, stdout_tail=b"", transcript=stats
        )
        until = datetime.now(UTC) + timedelta(hours=1)
        grant = compile_grant(self.world.chain, agent, run="r", until=until)
        scrubber = Scrubber([KnownValue(name="TOKEN", value=VALUE)])
        collector = Collector(self.world, agent, 1, self.step, scrubber)
        return collector.ended(result, grant, None)

    def propose(self, name: str, text: str) -> None:
        """Leave a file in the outbox."""
        (self.step.outbox / name).write_text(text)


@pytest.fixture
def bench(world: Any, agent: Agent, tmp_path: Path) -> Callable[..., Bench]:
    """Give a maker of benches: it takes the fields of the agent."""

    def make(**fields: object) -> Bench:
        first = agent("first", "", emits=["f:done"], output="in.txt")
        end = agent("end", "", triggers=fields.pop("end", ["f:done"]))
        a = {**agent("a", ""), "triggers": ["f:done"], **fields}
        opened = world(first, end, {k: v for k, v in a.items() if v is not None})
        step = prepare(tmp_path / "step", prompt=b"", ca_pem=b"")
        return Bench(world=opened, step=step, files=opened.data.run(opened.row.id) / "files")

    return make


def test_an_output_is_stored_without_what_is_secret(
    bench: Callable[..., Bench], recorded: Read
) -> None:
    """A known value and a credential are taken out; the raw bytes do not stay anywhere."""
    token = "ghp_" + "9fK2mQ7xV4bN8sT1wY6cR3hJ5gL0pDzAeUoI"
    work = bench(output="o.txt")
    (work.step.out / "o.txt").write_bytes(b"a " + VALUE + b" b " + token.encode() + b" c")
    done = work.collect()
    assert isinstance(done.event, StepSucceeded)
    stored = (work.files / "o.txt").read_bytes()
    assert stored.startswith(b"a [redacted:TOKEN] b ")
    assert stored.endswith(b" c")
    left = b"".join(p.read_bytes() for p in work.step.root.rglob("*") if p.is_file())
    assert not any(secret in left + stored for secret in (VALUE, token.encode()))
    assert [r["subject"] for r in recorded(work.world)] == ["o.txt", "o.txt"]
    assert done.output is not None
    assert done.output["bytes"] == len(stored)


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "large"])
def test_an_output_that_is_no_plain_file_fails_the_step(
    bench: Callable[..., Bench], tmp_path: Path, kind: str
) -> None:
    """Guard off: the link does lead to a file of the host. Nothing of it is stored."""
    work = bench(output="o.txt", limits={"outputBytes": 1024})
    (tmp_path / "host").write_text("host file")
    target = work.step.out / "o.txt"
    if kind == "link":
        target.symlink_to(tmp_path / "host")
        assert target.read_text() == "host file"
    elif kind == "folder":
        target.mkdir()
    elif kind == "large":
        target.write_text("x" * 1025)
    event = work.collect().event
    assert isinstance(event, StepFailed)
    assert "o.txt" in event.reason
    assert list(work.files.iterdir()) == []


def test_an_output_against_its_schema_fails_the_step(bench: Callable[..., Bench]) -> None:
    """With the schema it fails and says why; guard off: what fits passes."""
    work = bench(output="o.json", outputSchema={"type": "object", "required": ["n"]})
    for text, kind in (("{}", StepFailed), ('{"n": 1}', StepSucceeded)):
        (work.step.out / "o.json").write_text(text)
        assert isinstance(work.collect().event, kind)


def test_only_events_of_its_own_count(bench: Callable[..., Bench], recorded: Read) -> None:
    """Forged, reserved and malformed proposals are denied on the record; the file name is air."""
    work = bench(emits=["a:done", "a:failed"], end=["a:failed"])
    work.propose("1.json", '{"event": "a:failed"}')
    work.propose("2.json", '{"event": "f:done"}')
    work.propose("3.json", '{"event": "chain:start"}')
    work.propose("a:done.json", "not json")
    (work.step.outbox / "4.json").symlink_to("/etc/hostname")
    event = work.collect().event
    assert isinstance(event, StepSucceeded)
    assert event.emitted == ("a:failed",)
    denied = [r for r in recorded(work.world) if r["event"] == "event.deny"]
    assert {r.get("subject") for r in denied} == {"f:done", "chain:start", None}
    assert len(denied) == 4
    assert all(r["rule"] and r["reason"] for r in denied)


def test_an_agent_that_says_nothing_has_done_its_part(bench: Callable[..., Bench]) -> None:
    """Ending well without a word stands for all its events, and for none of another agent."""
    work = bench(emits=["a:done"], end=["a:done"])
    event = work.collect().event
    assert isinstance(event, StepSucceeded)
    assert event.emitted == ("a:done",)


def test_a_failed_agent_emits_and_stores_nothing(bench: Callable[..., Bench]) -> None:
    """Its output stays where it was; by exit code, by time, by a bound."""
    work = bench(output="o.txt")
    (work.step.out / "o.txt").write_text("x")
    late = work.collect(code=1, ended_by=TIMED_OUT).event
    assert isinstance(late, StepTimedOut)
    for fields, retry in (({"code": 3}, True), ({"code": 1, "ended_by": "output-limit"}, False)):
        event = work.collect(**fields).event
        assert isinstance(event, StepFailed)
        assert event.retryable is retry
    assert list(work.files.iterdir()) == []


GATE = {"type": "gate", "input": "in.txt", "emits": ["chain:complete"]}


def test_a_gate_passes_only_what_its_checks_pass(
    bench: Callable[..., Bench], recorded: Read
) -> None:
    """A known value in the input fails it, a missing input too, a clean one passes."""
    work = bench(**GATE, run=None)
    agent = work.world.chain.agents[-1]
    scrubber = Scrubber([KnownValue(name="TOKEN", value=VALUE)])
    gate = Collector(work.world, agent, 1, work.step, scrubber)
    assert isinstance(gate.judged().event, GateFailed)
    (work.files / "in.txt").write_bytes(b"has " + VALUE)
    assert isinstance(gate.judged().event, GateFailed)
    (work.files / "in.txt").write_bytes(b"clean")
    assert isinstance(gate.judged().event, StepSucceeded)
    found = recorded(work.world)
    assert [r["event"] for r in found] == ["gate.fail", "gate.fail", "gate.pass"]
    kinds = [issue["type"] for record in found for issue in record["detail"]["issues"]]
    assert kinds[0] == "missing-input"
    assert VALUE.decode() not in json.dumps(found)


@pytest.mark.parametrize(
    ("verdict", "passes"),
    [
        ({"passed": True, "issues": []}, True),
        ({"passed": False, "issues": []}, False),
        (
            {"passed": True, "issues": [{"type": "x", "description": "y", "severity": "high"}]},
            False,
        ),
        ({"passed": "yes", "issues": []}, False),
        ({}, False),
    ],
    ids=["pass", "fail", "contradiction", "no boolean", "empty"],
)
def test_a_gates_own_agent_must_say_so_exactly(
    bench: Callable[..., Bench], verdict: dict[str, object], *, passes: bool
) -> None:
    """Its verdict counts beside the deterministic checks, and only in the exact form."""
    work = bench(**GATE, run=["true"], output="verdict.json")
    (work.files / "in.txt").write_bytes(b"clean")
    (work.step.out / "verdict.json").write_text(json.dumps(verdict))
    event = work.collect().event
    assert isinstance(event, StepSucceeded if passes else GateFailed)


def test_a_gates_agent_cannot_outvote_the_checks(bench: Callable[..., Bench]) -> None:
    """It says passed; the input holds a known value."""
    work = bench(**GATE, run=["true"], output="verdict.json")
    (work.files / "in.txt").write_bytes(VALUE)
    (work.step.out / "verdict.json").write_text('{"passed": true, "issues": []}')
    assert isinstance(work.collect().event, GateFailed)
