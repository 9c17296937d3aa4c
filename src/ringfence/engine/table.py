"""The states of an agent within a run, as data: the one table `run` moves by and docs draw.

Invariants:
1. A pair that is not in the table changes nothing; that is what makes late and repeated
   reports harmless.
2. Only `Sign.GRANT` leads to `State.RUNNING`, and only from `State.READY`.
3. A state in `FINAL` is never left.
"""

from enum import StrEnum


class State(StrEnum):
    """Where one agent stands."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    REVIEWING = "reviewing"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class Sign(StrEnum):
    """What a run concludes from an event about one agent."""

    TRIGGER = "all triggers emitted"
    CONSULT = "all triggers emitted, agent is a review"
    GRANT = "free place"
    PASS = "succeeded"
    HOLD = "needs a person"
    RETRY = "failed, may try again"
    GIVE_UP = "failed for good"
    AGAIN = "delay over"
    APPROVE = "approved"
    DECLINE = "rejected or expired"
    STOP = "run is ending"
    END = "ended"


FINAL = frozenset({State.DONE, State.FAILED, State.STOPPED})
OCCUPYING = frozenset({State.RUNNING, State.STOPPING})
ACTIVE = frozenset(State) - FINAL - {State.WAITING}

TABLE: dict[tuple[State, Sign], State] = {
    (State.WAITING, Sign.TRIGGER): State.READY,
    (State.WAITING, Sign.CONSULT): State.REVIEWING,
    (State.WAITING, Sign.STOP): State.STOPPED,
    (State.READY, Sign.GRANT): State.RUNNING,
    (State.READY, Sign.STOP): State.STOPPED,
    (State.RUNNING, Sign.PASS): State.DONE,
    (State.RUNNING, Sign.HOLD): State.REVIEWING,
    (State.RUNNING, Sign.RETRY): State.PAUSED,
    (State.RUNNING, Sign.GIVE_UP): State.FAILED,
    (State.RUNNING, Sign.STOP): State.STOPPING,
    (State.PAUSED, Sign.AGAIN): State.READY,
    (State.PAUSED, Sign.STOP): State.STOPPED,
    (State.REVIEWING, Sign.APPROVE): State.DONE,
    (State.REVIEWING, Sign.DECLINE): State.FAILED,
    (State.REVIEWING, Sign.STOP): State.STOPPED,
    (State.STOPPING, Sign.END): State.STOPPED,
}


def mermaid() -> str:
    """Draw the table as a Mermaid state diagram, in the table's own order."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.WAITING}"]
    lines += [f"    {old} --> {new}: {sign}" for (old, sign), new in TABLE.items()]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines) + "\n"
