"""``ringfence explain`` shows the plan a run would carry out, and needs nothing but the chain."""

from collections.abc import Callable
from typing import Any

from ringfence.chain.canonical import digest

Agent = Callable[..., dict[str, object]]


def rich(person: Any, agent: Agent) -> str:
    """Write a chain whose one agent asks for something of everything."""
    (person.work / "ws").mkdir(exist_ok=True)
    return str(
        person.chain(
            agent(
                "rich",
                "",
                network=[{"host": "api.test", "methods": ["GET"], "paths": ["/v1/*"]}],
                secrets=[{"name": "TOKEN", "host": "api.test", "env": "API_TOKEN"}],
                workspace={"type": "local", "directory": "ws"},
                limits={"memoryMb": 64},
                timeout=77,
            )
        )
    )


def test_it_prints_what_the_agent_would_get(person: Any, agent: Agent) -> None:
    """Mounts with the rule that asked, routes with file and line, limits as they are enforced."""
    done = person("explain", rich(person, agent))
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    (route,) = [line for line in lines if line.startswith("  network")]
    assert "allow https://api.test:443 GET /v1/*" in route
    assert route.endswith("[c.json:1]")
    mounts = [line for line in lines if line.startswith("  mount")]
    assert mounts
    assert all(line.endswith("]") for line in mounts)
    (limits,) = [line for line in lines if line.startswith("  limits")]
    assert "memory 64 MB" in limits
    assert " 77 s," in limits


def test_a_secret_is_shown_by_name_only(person: Any, agent: Agent) -> None:
    """It need not exist; when it does, its value is nowhere in what is printed."""
    chain = rich(person, agent)
    before = person("explain", chain, "--json")
    assert before.code == 0, before.err
    value = "ghp_" + "Zq7" * 12
    assert person("secrets", "set", "TOKEN", "--stdin", stdin=value).code == 0
    after = person("explain", chain, "--json")
    assert after.out == before.out
    assert value not in after.out
    (plan,) = after.json["plans"]
    assert plan["secrets"] == ["TOKEN"]
    assert {"name": "API_TOKEN", "secret": "TOKEN", "value": ""} in plan["env"]


def test_the_digest_is_that_of_the_plan(person: Any, agent: Agent) -> None:
    """What is printed is what was hashed: anybody can compute it again."""
    (plan,) = person("explain", rich(person, agent), "--json").json["plans"]
    claimed = plan.pop("digest")
    assert claimed == digest(plan)


def test_explaining_leaves_no_trace(person: Any, agent: Agent) -> None:
    """No run, no record, no layer, no box."""
    assert person("explain", rich(person, agent)).code == 0
    assert not (person.data / "runs").exists()
    assert person("audit", "show").code == 3


def test_gates_are_explained(person: Any) -> None:
    """One that only runs checks has no box; one with an agent of its own has a plan."""
    asked = {"triggers": ["chain:start"], "emits": ["chain:complete"], "type": "gate"}
    checks = person.chain({"name": "g", **asked})
    assert "agent g: gate, no box" in person("explain", checks).out
    (plan,) = person(
        "explain", person.chain({"name": "g", "run": ["true"], **asked}), "--json"
    ).json["plans"]
    assert plan["argv"] == ["/usr/bin/true"] or plan["argv"][0].endswith("/true")


def test_text_from_the_file_cannot_move_the_cursor(person: Any, agent: Agent) -> None:
    """Guard off: in JSON the direction mark is there, escaped. In the table it is made visible."""
    chain = person.chain(agent("a", "", run=["true", "a\u202eb"]))
    assert "\\u202e" in person("explain", chain, "--json").out
    shown = person("explain", chain).out
    assert "a<U+202E>b" in shown
    assert "\u202e" not in shown
