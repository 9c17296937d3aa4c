"""The command line as a person uses it: a subprocess, a fresh data directory, real boxes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ringfence.apps.settings import DataDir, open_data_dir
from ringfence.control.reviews import Review, ReviewKind
from ringfence.sandbox.held import change_to_json
from ringfence.sandbox.workspace import changes
from ringfence.store.state import StateStore


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with a shell, a working directory and a data directory."""

    home: Path
    work: Path

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    def command(self, *args: str) -> list[str]:
        """Give the argv of a call."""
        return [
            *(sys.executable, "-m", "ringfence.apps.cli"),
            *("--data-dir", str(self.data), *args),
        ]

    def __call__(self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
        """Run one command to its end."""
        done = subprocess.run(
            self.command(*args),
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.work,
            env={**os.environ, "HOME": str(self.home), **(env or {})},
            timeout=90,
            check=False,
        )
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    def chain(self, *agents: Mapping[str, object], name: str = "c.json", **top: object) -> str:
        """Write a chain file and give its name."""
        body = {"name": "test", "agents": list(agents), **top}
        (self.work / name).write_text(json.dumps(body))
        return name

    def records(self, run: str) -> list[dict[str, Any]]:
        """Give the audit records of a run."""
        done = self("audit", "show", "--run", run, "--json")
        return [json.loads(line) for line in done.out.splitlines()]


def script(name: str, code: str, **fields: object) -> dict[str, object]:
    """Give a script agent that runs Python code."""
    return {
        "name": name,
        "type": "script",
        "run": ["python3", "-u", "-c", code],
        "triggers": ["chain:start"],
        "emits": ["chain:complete"],
        **fields,
    }


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """A person with a fresh home."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir(mode=0o700)
    work.mkdir()
    return Person(home=home, work=work)


@pytest.fixture
def agent() -> Callable[..., dict[str, object]]:
    """The maker of script agents."""
    return script


@dataclass(frozen=True, kw_only=True)
class Held:
    """A merge that waits for a person: a workspace, and a layer as a box leaves it."""

    data: DataDir
    tree: Path
    upper: Path

    def ask(self, *, expires: timedelta = timedelta(days=1), review: str = "v1") -> Review:
        """Store the question about everything that differs, as a run does."""
        now = datetime.now(UTC)
        files = [change_to_json(c) for c in changes(self.tree, self.upper.parent)]
        asked = Review(
            id=review,
            run="r1",
            agent="writer",
            kind=ReviewKind.MERGE,
            title="writer wants to change files",
            subject={
                "directory": str(self.tree),
                "layer": str(self.upper.parent),
                "files": [*files],
            },
            requested_by="agent:r1/writer",
            created=now,
            expires=now + expires,
        )
        store = StateStore(self.data.state)
        store.add_review(asked)
        store.close()
        return asked


@pytest.fixture
def held(person: Person) -> Held:
    """A workspace and an empty layer of the same person."""
    tree, upper = person.work / "tree", person.home / "layer" / "upper"
    tree.mkdir()
    upper.mkdir(parents=True)
    return Held(data=open_data_dir(str(person.data)), tree=tree, upper=upper)
