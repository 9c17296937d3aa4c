"""A chain runner without any guard: what Ringfence is measured against.

It runs agents as ordinary child processes with real secrets in their environment, direct
network, the workspace itself, and believes every event file it finds. It is what a shell script
or a file-event runner does; it exists only so that a replay can show that its attacks work.

Standard library only; started as a program of its own, so that its environment is a launcher's.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What to run: the chain as its file in ``root`` says it, real secrets, where files go."""

    root: Path
    chain: dict[str, Any]
    secrets: dict[str, str]
    directory: Path


def run(spec: Spec, environment: dict[str, str]) -> list[str]:
    """Run the chain, first event first; give the agents' names in the order they started."""
    events, seen, started = ["chain:start"], set[str](), list[str]()
    outbox = spec.directory / "outbox"
    outbox.mkdir(parents=True)
    while events:
        seen.add(events.pop(0))
        for agent in spec.chain["agents"]:
            if agent["name"] in started or not set(agent["triggers"]) <= seen:
                continue
            started.append(agent["name"])
            worked = agent["type"] != "script" or _step(spec, agent, environment) == 0
            events += _found(outbox)
            if worked:
                events.append(agent["emits"][0])
    return started


def _step(spec: Spec, agent: dict[str, Any], environment: dict[str, str]) -> int:
    files = spec.directory / "files"
    files.mkdir(exist_ok=True)
    own = dict(agent.get("env", {}))
    own |= {use["env"]: spec.secrets[use["name"]] for use in agent.get("secrets", [])}
    own["RINGFENCE_OUTBOX"] = str(spec.directory / "outbox")
    own["PUPPET_LOG"] = str(spec.directory / f"{agent['name']}.puppet.log")
    for name, key in (("RINGFENCE_INPUT", "input"), ("RINGFENCE_OUTPUT", "output")):
        if key in agent:
            own[name] = str(files / agent[key])
    with (spec.directory / f"{agent['name']}.transcript").open("wb") as transcript:
        done = subprocess.run(  # noqa: S603 - argv of a scenario
            agent["run"],
            cwd=spec.root / agent["workspace"]["directory"],
            env=environment | own,
            input=agent.get("prompt", "").encode(),
            stdout=transcript,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
    return done.returncode


def _found(outbox: Path) -> Iterator[str]:
    """Give the events agents dropped, without asking who may drop what."""
    for path in sorted(outbox.iterdir()):
        yield str(json.loads(path.read_text())["event"])
        path.unlink()


def main(arguments: list[str]) -> int:
    """Run the spec in the JSON file named; print the agents started as a JSON list."""
    file = Path(arguments[0])
    body = json.loads(file.read_text())
    spec = Spec(
        root=file.parent,
        chain=body["chain"],
        secrets=body["secrets"],
        directory=Path(body["directory"]),
    )
    print(json.dumps(run(spec, dict(os.environ))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
