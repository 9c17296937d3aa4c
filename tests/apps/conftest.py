"""The command line as a person uses it: a subprocess, a fresh data directory, real boxes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


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
