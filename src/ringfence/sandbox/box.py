"""A running native box: its end, its mark, and ending what a lost supervisor left behind.

Invariants:
1. `NativeBox.wait` answers only when the last process of the box is gone, whatever it forked.
2. A mark names one process by pid, start time and boot: a recycled pid is never signalled.
3. `NativeBox.close` leaves nothing: process, control group, uid, descriptor.
"""

import contextlib
import os
import random
import re
import select
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from ringfence.chain.errors import InputError, Unavailable
from ringfence.engine.box import BoxExit
from ringfence.sandbox import limits

KILL_SECONDS = 2.0
_MARK = re.compile(r"native:([0-9a-f]{8}):(\d{1,10}):(\d{1,20}):(\d{1,10}):([0-9a-z-]{1,60})")


class BoxUid:
    """The uid of one box: as root one that no other box has, else the user's own.

    The name of an abstract socket holds it: the kernel lets go of it when the supervisor dies.
    """

    def __init__(self, base: int, count: int) -> None:
        self.uid = os.geteuid()
        self.gid = os.getegid()
        self._lock: socket.socket | None = None
        if self.uid == 0:
            self._lock = self._take(base, count)

    def _take(self, base: int, count: int) -> socket.socket:
        start = random.randrange(count)  # noqa: S311 - spreads supervisors, hides nothing
        for step in range(count):
            uid = base + (start + step) % count
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                lock.bind(f"\0ringfence-uid-{uid}")
            except OSError:
                lock.close()
                continue
            self.uid = self.gid = uid
            return lock
        raise Unavailable("isolation-uids-used", f"all {count} uids of the boxes are in use")

    def release(self) -> None:
        """Give the uid back."""
        if self._lock is not None:
            self._lock.close()


class NativeBox:
    """A box, first prepared and then running. Every method may be called from any thread.

    ``bounds`` says what enforces which limit, ``workspace_kind`` how the work tree is held
    (``none``, ``read``, ``overlay`` or ``copy``).
    """

    def __init__(
        self, name: str, uid: BoxUid, groups: tuple[Path, ...], forget: Callable[[], None]
    ) -> None:
        self.name = name
        self.uid = uid
        self.groups = groups
        self.listener = -1
        self.mark = ""
        self.bounds = limits.Bounds()
        self.workspace_kind = "none"
        self.report, self.far_report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.orders, self.far_orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._status, self.far_status = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._status, False)  # read at the end only, when all is said
        self._forget = forget
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._exit: BoxExit | None = None
        self._why: str | None = None
        self._pidfd = -1
        self._closed = False

    def adopt(self, *, pid: int, pidfd: int, listener: int) -> None:
        """Take over the prepared process and its listening socket."""
        with self._lock:
            self._pidfd, self.listener = pidfd, listener
        self.mark = f"native:{boot()}:{pid}:{start_time(pid) or 0}:{self.uid.uid}:{self.name}"

    def let_go(self) -> None:
        """Close what only the launcher's side needs, so that the ends of streams are seen."""
        for channel in (self.far_report, self.far_orders):
            channel.close()
        with self._lock:
            if self.far_status >= 0:
                os.close(self.far_status)
            self.far_status = -1

    def wait(self, seconds: float | None = None) -> BoxExit | None:
        """Wait for the end; None when it has not ended after ``seconds``."""
        self._ended.wait(seconds)
        return self._exit

    def kill(self, why: str) -> None:
        """End every process of the box within 2 s; harmless when it has already ended.

        Raises Unavailable when the kernel did not end it in time.
        """
        with self._lock:
            if self._pidfd < 0:
                return
            if not self._ended.is_set():
                self._why = self._why or why
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        if not self._ended.wait(KILL_SECONDS):
            raise Unavailable("box-kill-failed", f"box {self.mark} did not end in time")

    def close(self) -> None:
        """End the box if it runs and release what the host holds for it."""
        if not self._closed:
            self.kill("closed")
        self.let_go()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for fd in (self.listener, self._pidfd, self._status):
                if fd >= 0:
                    os.close(fd)
            self.listener = self._pidfd = self._status = -1
        self.report.close()
        self.orders.close()
        limits.remove(self.groups)
        self.uid.release()
        self._forget()

    def report_end(self, code: int) -> None:
        """Take the launcher's word that the last process of the box is gone."""
        with self._lock:
            if self._why is None and not self._was_built():
                self._why = "isolation-failed"
            self._exit = BoxExit(code=code if code >= 0 else 128 - code, ended_by=self._why)
        self._ended.set()

    def report_loss(self, why: str) -> None:
        """Take the news that the launcher is gone: the kernel ends the box with it."""
        with self._lock:
            if self._ended.is_set():
                return
            self._why = self._why or why
            if self._pidfd >= 0:
                _wait_gone(self._pidfd, KILL_SECONDS)
            self._exit = BoxExit(code=128 + signal.SIGKILL, ended_by=self._why)
        self._ended.set()

    def _was_built(self) -> bool:
        """Say whether bubblewrap came as far as the payload: only then it reports an exit code."""
        text = b""
        with contextlib.suppress(OSError):
            while piece := os.read(self._status, 4096):
                text += piece
        return b'"exit-code"' in text


def boot() -> str:
    """Give eight hex digits that differ between boots."""
    return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]


def start_time(pid: int) -> int | None:
    """Give the start time of a process in clock ticks since boot; None when there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _stat(pid: int) -> list[str]:
    """Give the fields of ``/proc/PID/stat`` after the name, which may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _wait_gone(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _family(pid: int) -> int:
    """Count a process and its descendants. In a box nobody can leave: its init adopts orphans."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    count, waiting = 0, [pid]
    while waiting:
        count += 1
        waiting += parents.get(waiting.pop(), [])
    return count


def reap(mark: str, hierarchies: limits.Hierarchies) -> int:
    """End what is left of the box with this mark; give the number of processes ended.

    Raises InputError for a text that is no mark, Unavailable when something does not end.
    """
    match = _MARK.fullmatch(mark)
    if match is None:
        raise InputError("box-mark-invalid", "this is not the mark of a native box")
    where, pid, started, _, name = match.groups()
    if where != boot():
        return 0
    ended = 0
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(int(pid))
        try:
            # One that has ended already may still wait for its parent to take note of it.
            if start_time(int(pid)) == int(started) and not _wait_gone(pidfd, 0):
                ended = _family(int(pid))
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                if not _wait_gone(pidfd, KILL_SECONDS):
                    raise Unavailable("box-kill-failed", f"box {mark} did not end in time")
        finally:
            os.close(pidfd)
    groups = [place / f"{limits.PREFIX}{name}" for place in hierarchies.directories.values()]
    return ended + limits.remove(groups)
