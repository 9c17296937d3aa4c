"""Marks, uids and reaping; the life of a box is tested with the backend."""

import os
import subprocess
from pathlib import Path

import pytest

from ringfence.chain.errors import InputError, Unavailable
from ringfence.sandbox import box, limits

NOWHERE = limits.Hierarchies(version=0)


def mark_of(pid: int, *, started: int | None = None, boot: str | None = None) -> str:
    """Build the mark of a process."""
    started = started if started is not None else box.start_time(pid)
    return f"native:{boot or box.boot()}:{pid}:{started}:200001:1-2-abc"


@pytest.mark.parametrize("mark", ["", "native", "docker:x", "native:zz:1:1:1:x", "native:../../x"])
def test_a_text_that_is_no_mark_is_an_error(mark: str) -> None:
    """A mark comes from a store: it is not trusted to be one."""
    with pytest.raises(InputError):
        box.reap(mark, NOWHERE)


def test_only_the_very_process_is_ended() -> None:
    """Same pid with another start time or boot is somebody else."""
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        pid = sleeper.pid
        assert box.reap(mark_of(pid, started=1), NOWHERE) == 0
        assert box.reap(mark_of(pid, boot="00000000"), NOWHERE) == 0
        assert sleeper.poll() is None
        assert box.reap(mark_of(pid), NOWHERE) == 1
        assert sleeper.wait() == -9


def test_descendants_are_counted() -> None:
    """The number of processes ended is the whole family."""
    command = ["/bin/sh", "-c", "sleep 60 & sleep 60 & echo ready; wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        children = [
            int(p.name)
            for p in Path("/proc").iterdir()
            if p.name.isdigit() and (f := box._stat(int(p.name))) and int(f[1]) == parent.pid
        ]
        assert box.reap(mark_of(parent.pid), NOWHERE) == 3
        for child in children:
            os.kill(child, 9)


def test_a_process_that_is_gone_has_no_start_time() -> None:
    """Then there is nothing to end."""
    assert box.start_time(2**22 + 1) is None
    assert box.reap(mark_of(2**22 + 1, started=5), NOWHERE) == 0


@pytest.mark.only_root("only root gives boxes uids of their own")
def test_uids_are_taken_once_and_given_back() -> None:
    """Two boxes never share a uid; when all are taken, no box starts."""
    first, second = box.BoxUid(930_000, 2), box.BoxUid(930_000, 2)
    assert {first.uid, second.uid} == {930_000, 930_001}
    with pytest.raises(Unavailable):
        box.BoxUid(930_000, 2)
    first.release()
    third = box.BoxUid(930_000, 2)
    assert third.uid == first.uid
    second.release()
    third.release()
