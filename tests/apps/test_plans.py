"""What an agent would get is known, or refused with the reason, before anything starts."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ringfence.apps.plans import (
    VERDICT_FILE,
    Facts,
    build_plan,
    check_agents,
    effective,
    explained_handoff,
    needs_box,
    workspace_directory,
)
from ringfence.chain.errors import InputError, Refused
from ringfence.chain.parse import parse
from ringfence.chain.words import Chain
from ringfence.engine.plan import RunPlan

UNTIL = datetime(2026, 11, 21, tzinfo=UTC)


def chain(fields: str) -> Chain:
    """Give a chain of one agent."""
    text = f"name: c\nagents:\n  - {{name: a, triggers: [chain:start], {fields}}}\n"
    return parse(text.encode(), file="c.yaml", variables={})


def facts(folder: Path, **changes: object) -> Facts:
    """Give the facts of this host, for a chain file in a folder."""
    known: dict[str, object] = {
        "chain_file": folder / "c.yaml", "search": ("/usr/bin", "/bin"), "client": None, **changes,
    }  # fmt: skip
    return Facts(**known)  # type: ignore[arg-type]


def plan(one: Chain, known: Facts, *, attempt: int = 1) -> RunPlan:
    """Compile the plan of the only agent."""
    agent = effective(one.agents[0])
    handoff = explained_handoff(agent, "/runs/r1")
    return build_plan(
        one, agent, run="r1", attempt=attempt, until=UNTIL, handoff=handoff, facts=known
    )[1]


@pytest.mark.parametrize(
    ("fields", "boxed"),
    [
        ("type: script, run: [sh]", True),
        ("type: cli, client: claude, prompt: hi", True),
        ("type: gate", False),
        ("type: gate, run: [sh]", True),
        ("type: gate, client: claude, prompt: judge", True),
        ("type: review, prompt: ok?", False),
    ],
)
def test_only_what_starts_a_process_needs_a_box(fields: str, *, boxed: bool) -> None:
    """A review never does, a gate only with an agent of its own."""
    assert needs_box(chain(f"{fields}, emits: [chain:complete]").agents[0]) is boxed


def test_a_gate_with_an_agent_writes_a_verdict(tmp_path: Path) -> None:
    """Its output file has a name of ours, and its plan can be made."""
    one = chain("type: gate, run: [sh], emits: [chain:complete]")
    assert effective(one.agents[0]).output == VERDICT_FILE
    made = plan(one, facts(tmp_path))
    assert {v.name: v.value for v in made.env}["RINGFENCE_OUTPUT"].endswith(VERDICT_FILE)


def test_the_same_facts_give_the_same_plan(tmp_path: Path) -> None:
    """What ``explain`` printed is what a run with the same paths carries out."""
    one = chain("type: script, run: [sh, -c, 'true'], emits: [chain:complete]")
    first, again = plan(one, facts(tmp_path)), plan(one, facts(tmp_path))
    assert first.digest == again.digest
    assert plan(one, facts(tmp_path), attempt=2).digest != first.digest


def test_a_command_is_found_by_the_starters_path(tmp_path: Path) -> None:
    """The first directory that has it; the box sees the path it was found at."""
    for name in ("one", "two"):
        tool = tmp_path / name / "tool"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    search = (str(tmp_path / "none"), str(tmp_path / "two"), str(tmp_path / "one"))
    made = plan(
        chain("type: script, run: [tool, x], emits: [chain:complete]"),
        facts(tmp_path, search=search),
    )
    assert made.argv == (str(tmp_path / "two" / "tool"), "x")
    assert any(m.source == made.argv[0] and m.kind == "read-only" for m in made.mounts)


def test_a_command_the_host_does_not_have_is_refused(tmp_path: Path) -> None:
    """With the agent's own plan, not in the middle of a run."""
    with pytest.raises(InputError):
        plan(chain("type: script, run: [no-such-tool], emits: [chain:complete]"), facts(tmp_path))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("type: cli, prompt: hi", "no-client"),
        ("type: llm, model: m, prompt: hi", "llm-unsupported"),
        ("type: cli, client: clade, prompt: hi", "unknown-client"),
    ],
)
def test_an_agent_nothing_can_run_is_refused_at_its_line(
    tmp_path: Path, fields: str, code: str
) -> None:
    """Before anything starts, also when another agent could already run."""
    one = chain(f"{fields}, emits: [chain:complete]")
    with pytest.raises(InputError) as refusal:
        check_agents(one, facts(tmp_path))
    assert refusal.value.code == code
    assert refusal.value.where is not None
    assert refusal.value.where.line == 3


def test_a_client_may_come_from_the_person(tmp_path: Path) -> None:
    """A prompt alone runs when whoever starts the run says by what."""
    one = chain("type: cli, prompt: hi, emits: [chain:complete]")
    with pytest.raises(InputError) as refusal:
        check_agents(one, facts(tmp_path))
    assert refusal.value.code == "no-client"
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    installed = replace(facts(tmp_path, client="claude"), search=(str(tmp_path),))
    check_agents(one, installed)
    program.unlink()
    with pytest.raises(InputError) as refusal:
        check_agents(one, installed)
    assert refusal.value.code == "command-not-found"


def test_a_stronger_isolation_than_this_is_refused(tmp_path: Path) -> None:
    """Never a silent weaker path; guard off: at its own level the same agent passes."""
    fields = "type: script, run: [sh], emits: [chain:complete], isolation: {}"
    check_agents(chain(fields.format("L3")), facts(tmp_path))
    for make in (check_agents, plan):
        with pytest.raises(Refused) as refusal:
            make(chain(fields.format("L4")), facts(tmp_path))
        assert refusal.value.code == "isolation-level"
        assert refusal.value.where is not None


def test_a_workspace_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """The link could point anywhere; guard off: the directory itself is taken."""
    fields = "type: script, run: [sh], emits: [chain:complete], workspace: {{directory: {}}}"
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    one = chain(fields.format("real")).agents[0]
    assert workspace_directory(one, facts(tmp_path)) == str(tmp_path / "real")
    for name in ("link", "file", "gone"):
        with pytest.raises(InputError) as refusal:
            workspace_directory(chain(fields.format(name)).agents[0], facts(tmp_path))
        assert refusal.value.code == "workspace-missing"
