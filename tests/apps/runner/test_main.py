"""One runner for each run; what is unsafe stands on the record before anything happens."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.store.lock import RunLock

pytestmark = pytest.mark.box
Agent = Callable[..., dict[str, object]]
ASK = {
    "name": "ask", "type": "review", "triggers": ["chain:start"], "emits": ["chain:complete"],
    "prompt": "Go on?",
}  # fmt: skip


def test_a_second_runner_leaves_the_run_alone(person: Any) -> None:
    """While one holds the run nothing is recorded by another; afterwards it goes on."""
    done = person("run", person.chain(ASK), "--json")
    run, before = done.json["run"], len(person.records(done.json["run"]))
    with RunLock(person.data / "runs" / run) as lock:
        assert lock.held
        person("runs", "resume", run)
        assert len(person.records(run)) == before
    person("runs", "resume", run)
    assert len(person.records(run)) > before


def test_unsafe_settings_are_recorded_first(person: Any, agent: Agent) -> None:
    """With the person who gave them, directly after the start; without them there is no record."""
    names = person.work / "names.json"
    names.write_text(json.dumps({"forge.test": "127.0.0.11"}))
    chain = person.chain(agent("a", ""))
    for options, unsafe in (((), []), (("--unsafe-resolver-map", str(names)),
                                       ["unsafe_resolver_map"])):  # fmt: skip
        run = person("run", chain, "--json", *options).json["run"]
        records = person.records(run)
        assert records[0]["event"] == "run.start"
        found = [r for r in records if r["event"] == "setting.unsafe"]
        assert [r["subject"] for r in found] == unsafe
        assert records[1 : 1 + len(found)] == found
        assert all(r["actor"].startswith("user:") for r in found)


def test_a_resolver_map_that_is_no_map_is_refused(person: Any, agent: Agent) -> None:
    """Before a run is stored."""
    (person.work / "names.json").write_text('["forge.test"]')
    chain = person.chain(agent("a", ""))
    done = person("run", chain, "--unsafe-resolver-map", "names.json")
    assert done.code == 2
    assert "resolver-map-unreadable" in done.err
    assert person("runs", "list", "--json").json["runs"] == []
