"""The open doors of a run, with real stores; no box is started through them."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ringfence.apps.load import load
from ringfence.apps.opening import open_audit
from ringfence.apps.plans import Facts
from ringfence.apps.runner.world import World
from ringfence.apps.settings import open_data_dir
from ringfence.control.runs import RunRow, RunStatus


@pytest.fixture
def world(tmp_path: Path) -> Any:
    """Give a maker of worlds: it takes the agents of the chain."""
    with ExitStack() as stack:

        def make(*agents: dict[str, object]) -> World:
            document = json.dumps({"name": "test", "agents": agents}).encode()
            chain = load(document, file="c.json", variables={})
            data = open_data_dir(str(tmp_path / "data"))
            row = RunRow(
                id="r20261121-test", chain="test", digest=chain.digest, file="c.json",
                starter="user:ana", status=RunStatus.RUNNING, created=datetime.now(UTC),
            )  # fmt: skip
            for name in ("files", "steps"):
                (data.run(row.id) / name).mkdir(parents=True)
            facts = Facts(chain_file=tmp_path / "c.json", search=("/usr/bin", "/bin"), client=None)
            audit = stack.enter_context(open_audit(data))
            # Backend and broker are doors of `step`, which runs in whole runs only.
            return World(
                data=data, row=row, chain=chain, facts=facts, audit=audit,
                backend=None, broker=None,  # type: ignore[arg-type]
            )  # fmt: skip

        yield make


@pytest.fixture
def recorded() -> Callable[[Any], list[dict[str, Any]]]:
    """Give a reader of what a world has put on the record."""
    return lambda world: [json.loads(entry.data) for entry in world.audit.read()]
