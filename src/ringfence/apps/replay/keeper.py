"""Runs one command and says what it left running: every descendant, however it detached.

Started as a program of its own (standard library only): it makes itself the process that
orphans fall back to, so a grandchild that left its session and its parent is still found. What
is left after the patience is listed, then ended.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 2.0
_SUBREAPER = 36


def descendants(root: int) -> list[tuple[int, str]]:
    """Give (pid, command line) of every live process below ``root``, nearest first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: list[tuple[int, str]] = []
    waiting = [root]
    while waiting:
        for pid in sorted(children.get(waiting.pop(0), [])):
            waiting.append(pid)
            with suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                found.append((pid, line.decode("utf-8", "replace").strip()))
    return found


def keep(argv: list[str]) -> tuple[int, list[str]]:
    """Run ``argv`` to its end; give its exit code (128+n for signal n) and what it left."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become the reaper of orphans")
    child = subprocess.Popen(argv)  # noqa: S603 - an argv list of the harness
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    left = _remaining()
    for pid, _ in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    _remaining()
    return (code if code >= 0 else 128 - code), [line for _, line in left]


def _remaining() -> list[tuple[int, str]]:
    """Give what still runs below us when the patience is over; soon nothing, where all is well."""
    deadline = time.monotonic() + PATIENCE
    while (left := descendants(os.getpid())) and time.monotonic() < deadline:
        _bury()
        time.sleep(0.05)
    return left


def _bury() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(arguments: list[str]) -> int:
    """Run ``REPORT COMMAND...``; write what was left to REPORT as a JSON list."""
    code, left = keep(arguments[1:])
    Path(arguments[0]).write_text(json.dumps(left))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
