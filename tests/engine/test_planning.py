"""A plan holds what was asked for, says which rule asked, and nothing else."""

from datetime import UTC, datetime

from ringfence.chain.errors import Position
from ringfence.chain.words import (
    Access,
    Agent,
    AgentType,
    Delivery,
    Limits,
    NetworkRule,
    SecretUse,
    Workspace,
)
from ringfence.engine.plan import Mount, MountKind, RunPlan
from ringfence.engine.planning import Command, Handoff, box_limits, degraded, plan_step, prompt_text
from ringfence.policy.grant import Grant

HERE = Position(file="chain.yaml", line=3, column=1)
HANDOFF = Handoff(
    prompt="/d/prompt.txt",
    ca="/d/ca.pem",
    inputs={"in.json": "/d/files/in.json"},
    out="/d/out",
    outbox="/d/outbox",
    layer="/d/layer",
)
SYSTEM = (Mount(target="/usr", kind=MountKind.READ_ONLY, source="/usr", rule="system"),)


def agent(**changes: object) -> Agent:
    """Give a script agent."""
    fields: dict[str, object] = {
        "name": "writer",
        "type": AgentType.SCRIPT,
        "run": ("python3", "w.py"),
        "triggers": ("chain:start",),
        "emits": ("chain:complete",),
        "where": HERE,
    }
    return Agent(**(fields | changes))


def plan(one: Agent, *, directory: str | None = None) -> RunPlan:
    """Compile the agent's plan."""
    grant = Grant(
        run="r1",
        agent=one.name,
        until=datetime(2026, 1, 1, tzinfo=UTC),
        emits=one.emits,
        network=one.network,
        secrets=one.secrets,
        env=one.env,
        workspace=one.workspace,
        merge=one.merge,
        isolation=one.isolation,
    )
    command = Command(argv=("/usr/bin/python3", "w.py"), mounts=(), terminal=False, env={})
    return plan_step(
        grant,
        one,
        attempt=1,
        command=command,
        system=SYSTEM,
        handoff=HANDOFF,
        workspace_directory=directory,
    )


def test_an_agent_with_nothing_gets_the_tightest_plan() -> None:
    """No route, no secret, no workspace; an empty work directory."""
    made = plan(agent())
    assert (made.routes, made.secrets, made.workspace) == ((), (), None)
    work = next(m for m in made.mounts if m.target == "/home/agent/work")
    assert work.kind is MountKind.TMPFS


def test_a_workspace_needs_both_the_grant_and_access() -> None:
    """Access none means an empty work directory though a directory was named."""
    named = Workspace(directory="src", where=HERE)
    assert plan(agent(workspace=named), directory="/host/src").workspace is not None
    none = Workspace(directory="src", access=Access.NONE, where=HERE)
    assert plan(agent(workspace=none), directory="/host/src").workspace is None
    assert plan(agent(workspace=named)).workspace is None


def test_every_mount_says_which_rule_asked_for_it() -> None:
    """No mount without a reason, no target twice."""
    made = plan(agent(input=("in.json",), output="out.md"))
    assert all(mount.rule for mount in made.mounts)
    targets = [mount.target for mount in made.mounts]
    assert len(targets) == len(set(targets))
    assert "/run/ringfence/in/in.json" in targets


def test_secrets_stand_in_the_plan_by_name_only() -> None:
    """The variable that will show a placeholder has no value in the plan."""
    use = SecretUse(name="GH", host="forge.test", env="GH_TOKEN", where=HERE)
    made = plan(agent(secrets=(use,)))
    variable = next(v for v in made.env if v.name == "GH_TOKEN")
    assert (variable.value, variable.secret) == ("", "GH")
    assert made.secrets == ("GH",)


def test_routes_keep_the_place_that_asked_for_them() -> None:
    """A route names file and line."""
    made = plan(agent(network=(NetworkRule(host="forge.test", where=HERE),)))
    assert made.routes[0].rule == "chain.yaml:3"


def test_the_digest_covers_everything() -> None:
    """Another command, limit or route is another plan."""
    first = plan(agent())
    others = [
        plan(agent(limits=Limits(memory_mb=64))),
        plan(agent(timeout_seconds=5)),
        plan(agent(network=(NetworkRule(host="forge.test", where=HERE),))),
        plan(agent(env={"A": "b"})),
    ]
    digests = {first.digest, *(other.digest for other in others)}
    assert len(digests) == 5
    assert plan(agent()).digest == first.digest


def test_limits_left_out_are_the_default_and_never_none() -> None:
    """Every bound of a box is a number above zero."""
    made = box_limits(Limits(), wall_seconds=7)
    assert made.wall_seconds == 7
    for name in ("memory_bytes", "processes", "cpu_seconds", "file_bytes", "output_bytes"):
        assert getattr(made, name) > 0


def test_degraded_delivery_is_named() -> None:
    """Secrets in the environment are listed so that every run can show them."""
    use = SecretUse(
        name="DB", host="db.test", env="DB_URL", delivery=Delivery.UNSAFE_ENV, where=HERE
    )
    one = agent(secrets=(use,))
    grant = Grant(
        run="r",
        agent="writer",
        until=datetime(2026, 1, 1, tzinfo=UTC),
        emits=(),
        network=(),
        secrets=one.secrets,
        env={},
        workspace=None,
        merge=one.merge,
        isolation="L3",
    )
    assert degraded(grant) == ("DB",)


def test_the_prompt_says_where_files_lie() -> None:
    """Input and output paths follow the person's own words."""
    text = prompt_text(agent(prompt="Write it.", input=("x.json",), output="y.md")).decode()
    assert text.startswith("Write it.\n")
    assert "/run/ringfence/in/x.json" in text
    assert "/run/ringfence/out/y.md" in text
