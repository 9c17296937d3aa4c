"""DBOS alone: processes killed at every point, claims, and the vendor's private names."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS
from dbos._dbos import DBOSRegistry
from dbos._sys_db import SystemDatabase

from ringfence.chain.errors import InputError, InternalError, Refused
from ringfence.engine.durable import WorkflowStatus
from ringfence.store.durable.dbos_engine import FILE, DbosEngine

DEADLINE = 30.0

# One process of a run of a -> b -> h (a person) -> c. Everything it does it notes in a file first.
PROGRAM = r"""
import os, signal, sys, time
from hashlib import sha256
from pathlib import Path
from ringfence.chain.errors import Position
from ringfence.chain.words import Agent, AgentType, Chain
from ringfence.engine.commands import AskReview
from ringfence.engine.conduct import CONDUCT, Conductor, RunOrder
from ringfence.engine.events import ReviewDecided, StepSucceeded, encode_event
from ringfence.store.durable.dbos_engine import DbosEngine

directory, hold, die_at = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
document = "name: test"
digest = sha256(document.encode()).hexdigest()

def agent(name, trigger, emits, kind=AgentType.SCRIPT):
    return Agent(name=name, type=kind, triggers=(trigger,), emits=(emits,),
                 where=Position(file="t", line=1, column=1))

chain = Chain(name="t", digest=digest, file="t", agents=(
    agent("a", "chain:start", "a:done"), agent("b", "a:done", "b:done"),
    agent("h", "b:done", "h:yes", AgentType.REVIEW), agent("c", "h:yes", "chain:complete")))

def note(*words):
    with open(directory / "notes", "a") as file:
        file.write(" ".join(map(str, words)) + "\n")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Supervisor:
    def execute(self, run, agent, attempt, *, resumed):
        note("begin", agent, attempt, resumed)
        while hold == agent:
            time.sleep(0.01)
        note("end", agent)
        if die_at == f"end {agent}":
            die()
        return StepSucceeded(agent=agent, attempt=attempt, emitted=chain.agent(agent).emits)

    def perform(self, run, commands):
        for command in commands:
            note(type(command).__name__, getattr(command, "event", getattr(command, "review", "")))

    def stop(self, run, agent):
        note("stop", agent)

    def waiting(self, run, *, for_people):
        pass

engine = DbosEngine(directory, key=bytes(range(32)), executor="run:r", pool="run-r")
send = engine.send
def send_or_die(id_, message, key):
    if die_at == f"signal {key}":
        die()
    send(id_, message, key)
engine.send = send_or_die
Conductor(lambda data, file: chain, Supervisor()).register(engine)
engine.launch()
order = RunOrder(run="r", file="t", document=document, digest=digest, at=time.time())
engine.start(CONDUCT, "r", order.to_json())
if hold == "review":
    while not (engine._waiters() and "AskReview h#1" in (directory / "notes").read_text()):
        time.sleep(0.01)
    time.sleep(0.1)
    note("waiting", engine.wait("r", 0.05))
    time.sleep(60)
elif hold == "none":
    while "AskReview h#1" not in (directory / "notes").read_text():
        time.sleep(0.01)
    engine.signal("r", encode_event(ReviewDecided(review="h#1", approved=True)), key="h#1")
note("finished", engine.wait("r", 30).result["status"])
engine.close()
"""


class Killed:
    """The processes of one run, and what they noted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "notes").touch()

    def notes(self) -> list[str]:
        """Give the lines noted so far."""
        return (self.directory / "notes").read_text().splitlines()

    def start(self, hold: str, die_at: str = "") -> subprocess.Popen[bytes]:
        """Start a process of the run."""
        return subprocess.Popen([sys.executable, "-c", PROGRAM, self.directory, hold, die_at])

    def kill_when(self, hold: str, seen: str) -> None:
        """Start one and kill it as soon as it has noted a line."""
        process = self.start(hold)
        end = time.monotonic() + DEADLINE
        while not any(line.startswith(seen) for line in self.notes()):
            assert process.poll() is None, self.notes()
            assert time.monotonic() < end, self.notes()
            time.sleep(0.01)
        process.kill()
        assert process.wait(DEADLINE) == -signal.SIGKILL

    def dies(self, at: str) -> None:
        """Start one that kills itself at a point."""
        assert self.start("none", at).wait(DEADLINE) == -signal.SIGKILL

    def finish(self) -> list[str]:
        """Start the last one and let it end; give the notes about steps."""
        assert self.start("none").wait(DEADLINE) == 0
        assert self.notes()[-1] == "finished succeeded"
        return [line for line in self.notes() if line.split()[0] in {"begin", "end"}]


@pytest.fixture
def killed(tmp_path: Path) -> Killed:
    """Give a run whose processes are killed."""
    return Killed(tmp_path)


def steps(*names: str, again: str = "", ended: bool = False) -> list[str]:
    """Write the notes of a run in which one step was begun again."""
    lines: list[str] = []
    for name in names:
        lines.append(f"begin {name} 1 False")
        if name == again:
            lines += [f"end {name}"] * ended + [f"begin {name} 1 True"]
        lines.append(f"end {name}")
    return lines


@pytest.mark.parametrize("agent", ["a", "b"])
def test_killed_during_a_step(killed: Killed, agent: str) -> None:
    """Finished steps are not repeated; the interrupted one is, and is told so."""
    killed.kill_when(agent, f"begin {agent}")
    assert killed.finish() == steps("a", "b", "c", again=agent)


def test_killed_again_and_again(killed: Killed) -> None:
    """Three deaths in three places of one run, the same step twice among them."""
    killed.kill_when("b", "begin b 1 False")
    killed.kill_when("b", "begin b 1 True")
    killed.dies("end c")
    assert killed.finish() == [
        "begin a 1 False", "end a",
        "begin b 1 False", "begin b 1 True", "begin b 1 True", "end b",
        "begin c 1 False", "end c", "begin c 1 True", "end c",
    ]  # fmt: skip


def test_killed_while_a_person_is_asked(killed: Killed) -> None:
    """The wait is still open in the next process; the review is not asked for again."""
    killed.kill_when("review", "waiting None")
    killed.kill_when("review", "waiting None")
    assert killed.finish() == steps("a", "b", "c")
    assert killed.notes().count("AskReview h#1") == 1


def test_killed_between_the_end_of_a_step_and_its_report(killed: Killed) -> None:
    """The result was journalled: the step is not repeated, its report arrives."""
    killed.dies("signal b#1")
    assert killed.finish() == steps("a", "b", "c")


def test_killed_between_the_end_of_a_step_and_the_journal(killed: Killed) -> None:
    """Nobody knows that it ended: it is begun again, and told so."""
    killed.dies("end b")
    assert killed.finish() == steps("a", "b", "c", again="b", ended=True)


def engine(directory: Path, key: bytes, **options: Any) -> DbosEngine:
    """Give an engine with one workflow that waits."""
    made = DbosEngine(directory, key=key, **{"executor": "run:1", "pool": "run-1", **options})
    made.register("work", lambda ctx, payload: [ctx.step("s", lambda: payload), ctx.wait_signal()])
    return made


def test_one_engine_per_process(tmp_path: Path, install_key: bytes) -> None:
    """A second is refused while the first is open, and a failed launch blocks nobody."""
    first = engine(tmp_path, install_key)
    first.launch()
    with pytest.raises(InternalError):
        engine(tmp_path, install_key).launch()
    first.start("work", "w", None)
    first.close()
    with pytest.raises(Refused):
        engine(tmp_path, bytes(32)).launch()
    second = engine(tmp_path, install_key)
    second.launch()
    second.close()


def test_an_engine_that_was_not_launched_does_nothing(tmp_path: Path, install_key: bytes) -> None:
    """Closing it is harmless, asking it is an error of ours."""
    idle = engine(tmp_path, install_key)
    idle.close()
    with pytest.raises(InternalError):
        idle.status("w")


@pytest.mark.parametrize("pool", ["", "ab", "Run", "a b", "x" * 65])
def test_a_pool_has_a_plain_name(tmp_path: Path, install_key: bytes, pool: str) -> None:
    """It stands in the journal in plain text."""
    with pytest.raises(InputError):
        DbosEngine(tmp_path, key=install_key, executor="x", pool=pool)


def test_a_pool_claims_only_its_own(tmp_path: Path, install_key: bytes) -> None:
    """What another pool left unfinished is neither taken over nor run here."""
    first = engine(tmp_path, install_key, pool="run-one")
    first.launch()
    first.start("work", "w", None)
    first.close()
    other = engine(tmp_path, install_key, pool="run-two")
    other.launch()
    other.signal("w", "go", key="k")
    assert other.recover(["run:1"]) == []
    assert other.wait("w", 0.5) is None
    other.close()
    again = engine(tmp_path, install_key, pool="run-one")
    again.launch()
    assert again.wait("w", DEADLINE).result == [None, "go"]
    again.close()


def test_a_result_moved_to_another_step_is_refused(tmp_path: Path, install_key: bytes) -> None:
    """Two sealed results are swapped: each still opens, neither is taken for the other."""
    first = engine(tmp_path, install_key)
    first.launch()
    for name in ("v", "w"):
        first.start("work", name, name)
    until(lambda: len(first._waiters()) == 2)
    first.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        query = "SELECT output FROM operation_outputs WHERE workflow_uuid=? AND function_name='s'"
        (mine,), (theirs,) = (database.execute(query, (n,)).fetchone() for n in ("w", "v"))
        change = "UPDATE operation_outputs SET output=? WHERE workflow_uuid=? AND function_name='s'"
        database.execute(change, (theirs, "w"))
    database.close()
    assert first._serializer.deserialize(mine)
    assert first._serializer.deserialize(theirs)
    second = engine(tmp_path, install_key)
    second.launch()
    for name in ("v", "w"):
        second.signal(name, "go", key="k")
    assert second.wait("v", DEADLINE).result == ["v", "go"]
    state = second.wait("w", DEADLINE)
    assert state.status is WorkflowStatus.FAILED
    assert "belongs to another place" in state.error
    second.close()


def test_a_signal_from_another_process_is_noticed(tmp_path: Path, install_key: bytes) -> None:
    """A message written by somebody else wakes the wait by the poll."""
    made = engine(tmp_path, install_key)
    made.launch()
    made.start("work", "w", 1)
    until(lambda: bool(made._waiters()))
    wake, made._wake = made._wake, lambda *_: None
    made.signal("w", "go", key="k")
    assert made.wait("w", DEADLINE).result == [1, "go"]
    made._wake = wake
    made.close()


def test_the_vendors_private_names_exist() -> None:
    """What we use without a promise from the vendor is still there."""
    assert callable(DBOS._recover_pending_workflows)
    assert callable(DBOSRegistry._register_internal_queue)
    assert callable(SystemDatabase.recv_consume)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
