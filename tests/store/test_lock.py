"""One runner per run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from ringfence.store.lock import RunLock

HOLD = """
import sys
from pathlib import Path
from ringfence.store.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print(lock.held, flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_told(tmp_path: Path) -> None:
    """Only one of two holds it; giving it back frees it."""
    with RunLock(tmp_path) as first:
        assert first.held
        with RunLock(tmp_path) as second:
            assert not second.held
    with RunLock(tmp_path) as third:
        assert third.held


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    """The kernel gives the lock back when the process is gone, however it went."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "True\n"
        with RunLock(tmp_path) as other:
            assert not other.held
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with RunLock(tmp_path) as after:
        assert after.held
