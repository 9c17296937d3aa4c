"""``ringfence runs``: what ran and how it stands, also long after."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.box
Agent = Callable[..., dict[str, object]]

ASK = {
    "name": "ask", "type": "review", "triggers": ["chain:start"], "emits": ["chain:complete"],
    "prompt": "Go on?",
}  # fmt: skip


def test_an_ended_run_is_listed_shown_and_reported(person: Any, agent: Agent) -> None:
    """Table, JSON, and a report in one file whose path is all that is printed."""
    run = person("run", person.chain(agent("only", "print(1)")), "--json").json["run"]
    (row,) = person("runs", "list", "--json").json["runs"]
    assert (row["run"], row["status"]) == (run, "succeeded")
    assert run in person("runs", "list").out
    shown = person("runs", "show", run)
    assert shown.code == 0
    assert "only" in shown.out
    body = person("runs", "show", run, "--json").json
    assert (body["run"], body["status"]) == (run, "succeeded")
    written = person("runs", "show", run, "--report")
    page = Path(written.out.removesuffix("\n"))
    assert page.is_file()
    assert run in page.read_text()


def test_an_ended_run_is_neither_cancelled_nor_resumed(person: Any, agent: Agent) -> None:
    """Exit code 3: there is nothing to do; the record does not grow."""
    run = person("run", person.chain(agent("only", "")), "--json").json["run"]
    before = len(person.records(run))
    for command in ("cancel", "resume"):
        done = person("runs", command, run)
        assert done.code == 3
        assert "already succeeded" in done.err
    assert len(person.records(run)) == before


@pytest.mark.parametrize("command", ["show", "cancel", "resume"])
def test_an_unknown_run_is_said_to_be_unknown(person: Any, command: str) -> None:
    """Exit code 2 with the command that lists them; no directory is made for it."""
    done = person("runs", command, "../../etc")
    assert done.code == 2
    assert "unknown-run" in done.err
    assert "ringfence runs list" in done.err
    assert not (person.data / "runs").exists()


def test_a_waiting_run_is_cancelled(person: Any) -> None:
    """Nobody runs it at that moment; afterwards the question cannot be answered any more."""
    done = person("run", person.chain(ASK), "--json")
    assert done.code == 5, done.err
    run, review = done.json["run"], done.json["reviews"][0]["id"]
    assert person("runs", "cancel", run, "--reason", "not today").code == 0
    (row,) = person("runs", "list", "--json").json["runs"]
    assert row["status"] == "cancelled"
    cancelled = [r for r in person.records(run) if r["event"] == "run.cancel"]
    assert len(cancelled) == 1
    late = person("review", "approve", review, "--reason", "too late", "--json")
    assert "chain:complete" not in [r.get("subject") for r in person.records(run)]
    assert late.code != 0


def test_a_waiting_run_resumed_without_an_answer_waits_again(person: Any) -> None:
    """Resuming answers nothing."""
    run = person("run", person.chain(ASK), "--json").json["run"]
    again = person("runs", "resume", run, "--json")
    assert (again.code, again.json["status"]) == (5, "waiting"), again.err


def test_the_chain_file_is_not_needed_after_the_start(person: Any) -> None:
    """What runs is the snapshot: the file may be gone or say something else by then."""
    for replaced in (False, True):
        chain = Path(person.work) / person.chain(ASK)
        done = person("run", str(chain), "--json")
        chain.unlink()
        if replaced:
            chain.write_text("another: [chain")
        review = done.json["reviews"][0]["id"]
        answered = person("review", "approve", review, "--reason", "yes", "--json")
        assert (answered.code, answered.json["status"]) == (0, "succeeded"), answered.err


def test_an_edited_snapshot_is_refused(person: Any) -> None:
    """The digest in the run's row is of the bytes that were started; nothing else goes on."""
    done = person("run", person.chain(ASK), "--json")
    run, review = done.json["run"], done.json["reviews"][0]["id"]
    snapshot = person.data / "runs" / run / "chain"
    other = json.loads(snapshot.read_text())
    other["agents"][0]["prompt"] = "Go on!"
    snapshot.write_text(json.dumps(other))
    answered = person("review", "approve", review, "--reason", "yes")
    assert answered.code != 0
    assert "chain-changed" in answered.err
    assert "chain:complete" not in [r.get("subject") for r in person.records(run)]


def test_a_run_outlives_whoever_followed_it(person: Any, agent: Agent) -> None:
    """Killed in the middle, the command line takes nothing with it: the run ends by itself."""
    code = (
        "import os, time\n"
        "print('up')\n"
        "while not os.path.exists('go'):\n"
        "    time.sleep(0.02)\n"
        "print('x' * 100)"
    )
    (person.work / "ws").mkdir()
    space = {"type": "local", "directory": "ws", "access": "read"}
    chain = person.chain(agent("patient", code, workspace=space))
    with subprocess.Popen(
        person.command("run", chain), cwd=person.work, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        run = process.stderr.readline().split()[1].rstrip(":")
        for line in process.stderr:
            if "| up" in line:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
    (person.work / "ws" / "go").touch()
    deadline = time.monotonic() + 30
    while person("runs", "list", "--json").json["runs"][0]["status"] != "succeeded":
        assert time.monotonic() < deadline, person("runs", "show", run).out
    assert person.records(run)[-1]["event"] == "run.finish"
