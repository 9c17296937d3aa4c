import sys
from pathlib import Path
from typing import Any

from ringfence.apps.replay.plain import Spec, run

PYTHON = sys.executable


def agent(name: str, code: str, **fields: Any) -> dict[str, Any]:
    """Give an agent that runs a line of Python."""
    return {
        "name": name,
        "type": "script",
        "run": [PYTHON, "-I", "-S", "-c", f"import os, sys; {code}"],
        "workspace": {"directory": "."},
        "triggers": ["chain:start"],
        "emits": [f"{name}:done"],
        **fields,
    }


def test_agents_follow_events_and_get_real_secrets(tmp_path: Path) -> None:
    """The second starts on the first's event, reads its file, and the secret is in plain sight."""
    first = agent(
        "first",
        "open(os.environ['RINGFENCE_OUTPUT'], 'w').write(os.environ['TOKEN'] + sys.stdin.read())",
        output="x",
        prompt=" hi",
        secrets=[{"name": "GH", "env": "TOKEN"}],
    )
    second = agent(
        "second",
        "open('seen', 'w').write(open(os.environ['RINGFENCE_INPUT']).read())",
        input="x",
        triggers=["first:done"],
    )
    spec = Spec(
        root=tmp_path,
        chain={"agents": [second, first]},
        secrets={"GH": "real"},
        directory=tmp_path / "plain",
    )
    assert run(spec, {}) == ["first", "second"]
    assert (tmp_path / "seen").read_text() == "real hi"


def test_a_forged_event_is_believed(tmp_path: Path) -> None:
    """Any file in the shared folder starts whoever waits for its name, before its turn."""
    forge = "open(os.environ['RINGFENCE_OUTBOX'] + '/e', 'w').write('{\"event\": \"gate:done\"}')"
    chain = {
        "agents": [
            agent("first", forge),
            agent("gate", "", triggers=["first:done"], type="gate"),
            agent("last", "", triggers=["gate:done"]),
        ]
    }
    spec = Spec(root=tmp_path, chain=chain, secrets={}, directory=tmp_path / "plain")
    assert run(spec, {}) == ["first", "last", "gate"]


def test_a_failed_agent_starts_nobody(tmp_path: Path) -> None:
    """Without success there is no event."""
    chain = {
        "agents": [
            agent("first", "sys.exit(1)"),
            agent("second", "", triggers=["first:done"]),
        ]
    }
    assert run(Spec(root=tmp_path, chain=chain, secrets={}, directory=tmp_path / "plain"), {}) == [
        "first"
    ]
