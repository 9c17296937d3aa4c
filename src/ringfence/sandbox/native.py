"""The native backend: boxes held by the kernel's namespaces, bubblewrap and our own filter.

Invariants:
1. A box starts with every lock or not at all (R5): what the host lacks is a `Refused` that says
   which grant is missing and which command gives it; there is no weaker path.
2. No boxed process is kernel-uid 0. As root every box gets a uid of its own from the range.
3. No temporary file is made; placeholders of secrets reach bubblewrap through a memory file.
4. The launcher lives exactly as long as the backend, and every box at most as long as that.

The launcher process forks the boxes (see `launcher`); a thread reads its reports. The wall clock
is the business of whoever waits. What a workspace's changes mean is decided by
``policy.control_files`` and carried out by `merge`.
"""

import contextlib
import errno
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from ringfence.chain.errors import InternalError, Refused, RingfenceError, Unavailable
from ringfence.engine.box import Stdio
from ringfence.engine.plan import RunPlan, WorkspacePlan
from ringfence.sandbox import bwrap, host, launcher, limits, seccomp, workspace
from ringfence.sandbox.box import BoxUid, NativeBox, reap

START_SECONDS = 30.0
KIND = "native"
QUIET_MS = 50  # after a start: the new agent has the processor first
ROOT_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

_HINTS = {
    "namespaces": "allow user, mount, pid and network namespaces; ringfence doctor names the lock",
    "private": "let this process mount: as root grant CAP_SYS_ADMIN",
    "uid-map": "allow unprivileged user namespaces: sysctl -w kernel.unprivileged_userns_clone=1",
    "image": "as root grant CAP_SYS_ADMIN, as a user: "
    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    "uid": "map the uid range of the boxes into this container",
    "filter": "use a kernel built with CONFIG_SECCOMP_FILTER",
    "cgroup": "see ringfence doctor, section cgroup",
    "execute": "reinstall bubblewrap: apt-get install --reinstall bubblewrap",
}


class NeedsCopyError(Exception):
    """The host cannot show files copy-on-write (``overlay``) or under another uid (``idmap``)."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


class _Descriptors(contextlib.ExitStack):
    """Descriptors made for one start; all are closed when it is over."""

    def own(self, fd: int) -> int:
        self.callback(os.close, fd)
        return fd

    def memory(self, name: str, content: bytes) -> int:
        """Give a memory file with this content, to be read from its beginning."""
        fd = self.own(os.memfd_create(name, os.MFD_CLOEXEC))
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd


class NativeBackend:
    """Starts boxes on this host; thread-safe. ``close`` ends the launcher and with it all boxes."""

    def __init__(
        self, *, state_dir: Path, uid_base: int = 200_000, uid_count: int = 10_000
    ) -> None:
        self._state = state_dir.resolve()
        self._uids = (uid_base, uid_count)
        self._root = os.geteuid() == 0
        self._lock = threading.Lock()
        self._boxes: dict[int, NativeBox] = {}
        self._spare: deque[NativeBox] = deque()
        self._closing = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._count = 0
        self._plain_files = False
        self._copy = False
        self._host: host.HostFacts | None = None
        self._hierarchies = limits.find_hierarchies()
        limits.sweep(self._hierarchies)
        self._proc = frozenset(os.listdir("/proc"))  # noqa: PTH208 - names only
        self._tree = _system_tree()
        self._socket, self._peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        started = threading.Event()
        # A parent-death signal fires when the *thread* that forked ends: this one stays.
        self._thread = threading.Thread(target=self._live, args=(started,), daemon=True)
        self._thread.start()
        started.wait()
        self._refill()

    def start(self, plan: RunPlan, stdio: Stdio, placeholders: Mapping[str, str]) -> NativeBox:
        """Start a plan's command in a box of its own.

        Raises Refused when this host cannot give what the plan demands, Unavailable when
        starting failed for a reason that may pass.
        """
        if plan.backend != KIND:
            raise Refused(
                "isolation-backend",
                f"the plan asks for {plan.backend!r}, this is {KIND!r}",
                hint="use the backend the plan names",
            )
        self._require_host()
        spec = self._compile(plan, placeholders)
        try:
            return self._attempt(plan, spec, stdio)
        except NeedsCopyError as need:
            self._plain_files = self._plain_files or need.step == "idmap"
            self._copy = True
            return self._attempt(plan, spec, stdio)

    def reap(self, mark: str) -> int:
        """End what is left of a box known by its mark; give the number of processes ended."""
        return reap(mark, self._hierarchies)

    def close(self) -> None:
        """End every box and the launcher."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        with self._lock:
            boxes = list(self._boxes.values())
        for box in boxes:
            box.close()
        os.close(self._wake)

    # --- one start ------------------------------------------------------------------------------

    def _require_host(self) -> None:
        with self._lock:
            if self._host is None:
                self._host = host.facts()
        host.require(self._host)

    def _compile(self, plan: RunPlan, placeholders: Mapping[str, str]) -> bwrap.BoxSpec:
        """The one door tests reach through to take a single lock away."""
        return bwrap.compile_box(plan, placeholders, proc=self._proc)

    def _attempt(self, plan: RunPlan, spec: bwrap.BoxSpec, stdio: Stdio) -> NativeBox:
        with self._lock:
            box = self._spare.popleft() if self._spare else None
        box = box or self._prepare()
        try:
            _take_over(box)
            self._order(box, plan, spec, stdio)
        except BaseException:
            box.close()
            raise
        os.eventfd_write(self._wake, 1)
        return box

    def _prepare(self) -> NativeBox:
        """Have the launcher clone a child that waits for its order. Raises Unavailable."""
        with self._lock:
            self._count += 1
            number = self._count
        name = f"{os.getpid()}-{number}-{secrets.token_hex(4)}"
        uid = BoxUid(*self._uids)
        try:
            groups = limits.make_groups(name, self._hierarchies)
        except RingfenceError:
            uid.release()
            raise
        box = NativeBox(name, uid, groups, lambda: self._forget(number))
        request = {
            "box": number,
            "user": not self._root,
            "run_uid": uid.uid,
            "run_gid": uid.gid,
            "cgroups": [str(group / "cgroup.procs") for group in groups],
        }
        fds = [box.far_report.fileno(), box.far_orders.fileno()]
        try:
            with self._lock:
                self._boxes[number] = box
                socket.send_fds(self._socket, [json.dumps(request).encode()], fds)
        except OSError as error:
            box.close()
            raise _launcher_gone() from error
        return box

    def _order(self, box: NativeBox, plan: RunPlan, spec: bwrap.BoxSpec, stdio: Stdio) -> None:
        """Give a prepared child everything it needs, and see the box built."""
        uid = box.uid
        box.bounds = limits.bound(plan.limits, box.name, self._hierarchies)
        sources, image, box.workspace_kind = self._image(plan, spec, uid)
        ready, far_ready = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        order = {
            "rlimits": box.bounds.rlimits,
            "sources": sources,
            "image": image,
            "system": self._tree[0],
            "links": self._tree[1],
            "terminal": plan.terminal,
            "filter": self._program(seccomp.Stage.OUTER).hex(),
            "bwrap": bwrap.find().path,
            "argv": ["bwrap", "--args", str(bwrap.FD_ARGS), "--", *spec.command],
        }
        with ready:
            ready.sendall(bwrap.READY_FILE[1].encode())
            ready.shutdown(socket.SHUT_WR)
            with far_ready, _Descriptors() as made:
                passed = [
                    stdio.stdin, stdio.stdout, stdio.stderr,
                    made.memory("args", b"".join(os.fsencode(arg) + b"\0" for arg in spec.args)),
                    made.memory("filter", self._program(seccomp.Stage.BOX)),
                    box.far_status,
                    far_ready.fileno(),
                ]  # fmt: skip
                try:
                    socket.send_fds(box.orders, [json.dumps(order).encode()], passed)
                except OSError as error:
                    raise _launcher_gone() from error
            box.let_go()
            _see_executed(box)
            _wait_built(ready, box)

    def _program(self, stage: seccomp.Stage) -> bytes:
        return seccomp.program(os.uname().machine, stage)

    def _forget(self, number: int) -> None:
        with self._lock:
            self._boxes.pop(number, None)

    # --- what the launcher builds ---------------------------------------------------------------

    def _image(
        self, plan: RunPlan, spec: bwrap.BoxSpec, uid: BoxUid
    ) -> tuple[list[tuple[str, str]], list[bwrap.Line], str]:
        """Give the sources with the way each is shown, the lines that use them, the workspace."""
        sources: list[tuple[str, str]] = []
        lines: list[bwrap.Line] = []
        kind = "none"
        for line in spec.image:
            match line:
                case ("tree", target, str(source), str(how)):
                    lines.append(("tree", target, len(sources)))
                    sources.append((source, self._how(source, how, uid)))
                case ("work", target) if plan.workspace is not None:
                    kind, wanted = self._workspace(plan.workspace, uid)
                    indexes = range(len(sources), len(sources) + len(wanted))
                    lines.append(("overlay" if kind == "overlay" else "tree", target, *indexes))
                    sources += wanted
                case _:
                    lines.append(line)
        return sources, lines, kind

    def _workspace(self, work: WorkspacePlan, uid: BoxUid) -> tuple[str, list[tuple[str, str]]]:
        """Say how the workspace is held, and the sources for that."""
        lend = "lend" if self._root and not self._plain_files else "lower"
        if work.access != "write":
            return "read", [(work.directory, lend)]
        if self._copy:
            return "copy", [(str(workspace.copy_tree(work, uid.uid, uid.gid)), "write")]
        layer = _prepare_layer(work, uid)
        return "overlay", [(work.directory, lend), (str(layer), "write")]

    def _how(self, source: str, how: str, uid: BoxUid) -> str:
        """Say how the run's uid comes to see a source: what is ours is lent, the rest is as it is.

        Raises Refused for a directory of root outside our own state that a box should write.
        """
        if not self._root:
            return how
        ours = source.startswith(f"{self._state}/")
        ours = ours and Path(source).resolve().is_relative_to(self._state)
        if how == "read":
            return _opened_up(source) if ours and self._plain_files else "lend" if ours else how
        if ours:
            os.chown(source, uid.uid, uid.gid, follow_symlinks=False)
            return how
        if Path(source).stat().st_uid == 0:
            raise Refused(
                "box-writes-as-root",
                f"{source} belongs to root: what a box writes there would too",
                hint=f"chown it to a user, or keep it below {self._state}",
            )
        return "map"

    # --- the launcher's life --------------------------------------------------------------------

    def _live(self, started: threading.Event) -> None:
        """Start the launcher, hand out its reports, and see it end."""
        python, fd = os.path.realpath(sys.executable), self._peer.fileno()
        try:
            process = subprocess.Popen(
                [python, "-I", "-S", launcher.__file__, str(fd), str(os.getpid())],
                env={},
                cwd="/",
                pass_fds=[fd],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._socket.close()
            return
        finally:
            self._peer.close()
            started.set()
        with contextlib.suppress(OSError, ValueError, EOFError):
            self._listen()
        process.kill()
        process.wait()
        with self._lock:
            boxes = list(self._boxes.values())
            self._socket.close()
        for box in boxes:
            box.report_loss("closed" if self._closing else "launcher-lost")

    def _listen(self) -> None:
        """Take reports until the launcher is gone; in quiet moments have the next box prepared."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        wanted = False
        while True:
            events = [fd for fd, _ in poll.poll(QUIET_MS if wanted else None)]
            if not events:
                wanted = False
                self._refill()
            if self._wake in events:
                os.eventfd_read(self._wake)
                wanted = True
            if self._socket.fileno() in events:
                message = json.loads(self._socket.recv(launcher.MESSAGE) or b"{}")
                with self._lock:
                    box = self._boxes.get(message["box"]) if message else None
                if not message:
                    raise EOFError
                if box is not None:
                    box.report_end(message["code"])

    def _refill(self) -> None:
        """Keep one box prepared. That it fails shows when the next box is asked for."""
        with contextlib.suppress(RingfenceError):
            if not self._spare:
                spare = self._prepare()
                with self._lock:
                    self._spare.append(spare)


def _take_over(box: NativeBox) -> None:
    """Take process and listener of a prepared child. Raises what a failed step means."""
    box.far_report.close()
    found: dict[str, int] = {}
    try:
        while len(found) < 3:
            message, fds = _receive(box)
            if "pid" in message:
                found |= {"pid": int(str(message["pid"])), "pidfd": fds[0]}
            else:
                found["listener"] = fds[0]
    except (RingfenceError, NeedsCopyError, EOFError) as error:
        for name in found.keys() & {"pidfd", "listener"}:
            os.close(found[name])
        if isinstance(error, EOFError):
            raise _launcher_gone() from error
        raise
    box.adopt(**found)


def _launcher_gone() -> Unavailable:
    return Unavailable(
        "isolation-launcher", "the launcher is gone", hint="start the run again: its boxes ended"
    )


def _see_executed(box: NativeBox) -> None:
    """Wait until the child has become bubblewrap, which closes its report."""
    with contextlib.suppress(EOFError):
        _receive(box)
        raise InternalError("isolation-protocol", "the launcher said something unexpected")


def _receive(box: NativeBox) -> tuple[dict[str, object], list[int]]:
    """Give one message about a start. Raises EOFError at the end, or what a failure means."""
    box.report.settimeout(START_SECONDS)
    try:
        data, fds, _, _ = socket.recv_fds(box.report, 4096, 4, socket.MSG_CMSG_CLOEXEC)
    except TimeoutError as error:
        raise Unavailable("isolation-start-slow", "the box did not start in time") from error
    if not data:
        raise EOFError
    message: dict[str, object] = json.loads(data)
    if "step" in message:
        raise _refusal(message)
    return message, list(fds)


def _refusal(message: dict[str, object]) -> Exception:
    """Turn a failed step of the child into what the caller has to know."""
    step, number, about = str(message["step"]), int(str(message["errno"])), str(message["about"])
    if step in {"overlay", "idmap"}:
        return NeedsCopyError(step)
    text = f"the box could not be started at step {step!r}: {about}: {os.strerror(number)}"
    if number in {errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE}:
        return Unavailable("isolation-resources", text, hint="the host is short of resources")
    if step == "image" and number in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:
        return Unavailable(
            "box-source-missing", f"{about} cannot be mounted: {os.strerror(number)}"
        )
    if step == "image" and number == errno.EROFS:
        return Refused(
            "box-path-conflict",
            f"{about} cannot be made: it lies in what the box has read-only",
            hint="mount it elsewhere in the box",
        )
    if step not in _HINTS:
        return InternalError(f"isolation-{step}", text, hint="please report this")
    return Refused(f"isolation-{step}", text, hint=_HINTS[step])


def _wait_built(ready: socket.socket, box: NativeBox) -> None:
    """Wait until bubblewrap has built the tree.

    It reads the last file of the tree from ``ready``: closed after reading means built, closed
    with bytes unread (a reset) means that it died before. Raises Refused then.
    """
    ready.settimeout(START_SECONDS)
    try:
        ready.recv(1)
    except TimeoutError as error:
        raise Unavailable("isolation-start-slow", "the box was not built in time") from error
    except ConnectionResetError as error:
        ended = box.wait(1.0)
        raise Refused(
            "isolation-bwrap-failed",
            f"bubblewrap could not build the box (exit {ended.code if ended else 'unknown'})",
            hint="its own message is on the error stream of the agent; see ringfence doctor",
        ) from error


def _system_tree() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Give what bubblewrap itself needs around the image: /usr and the links to it."""
    trees = [("usr", "/usr")]
    links = []
    for name in ROOT_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            links.append((name, str(path.readlink())))
        elif path.is_dir():
            trees.append((name, str(path)))
    return trees, links


def _prepare_layer(work: WorkspacePlan, uid: BoxUid) -> Path:
    """Make the empty directories overlayfs writes to, owned by the run's uid."""
    layer = Path(work.layer)
    layer.mkdir(parents=True, exist_ok=True)
    mode = Path(work.directory).stat().st_mode
    try:
        for name in ("upper", "work"):
            (layer / name).mkdir(mode=0o700)
    except FileExistsError as error:
        raise Refused(
            "layer-in-use",
            f"{layer} already holds the changes of another attempt",
            hint="give every attempt a layer of its own",
        ) from error
    os.chown(layer / "upper", uid.uid, uid.gid)
    (layer / "upper").chmod(mode & 0o1777)
    return layer


def _opened_up(source: str) -> str:
    """Without idmapped mounts: let others read a source of ours, whose parents stay closed."""
    for path in (Path(source), *Path(source).rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode & 0o7777 | (0o555 if path.is_dir() else 0o444))
    return "read"
