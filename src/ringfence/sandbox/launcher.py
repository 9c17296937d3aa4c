"""The launcher: a small program that forks boxes, so that no box pays for an interpreter start.

It is started once per supervisor as ``python -I -S launcher.py FD`` with an empty environment
and imports nothing but the standard library. Over the socket FD it takes one JSON message per
box, clones a child into fresh namespaces and tells its end. The child prepares what takes the
kernel long, waits for its order (the image, the limits, the descriptors) on a socket of
its own, and becomes bubblewrap.

Invariants:
1. It dies with its supervisor (SIGKILL by parent-death signal, end of file on the socket), and
   every box dies with it: bubblewrap is process 1 of a pid namespace of its own, so its end is
   the end of every descendant, whatever that did to hide.
2. A boxed process is never kernel-uid 0: as root the child takes the uid of the run before it
   executes anything, and uid 0 is refused.
3. Before bubblewrap starts, the child has left the host's file tree: its root is a tmpfs with
   nothing in it but bubblewrap's libraries and the image, which holds what the plan names.
4. Bubblewrap gets an empty environment, no descriptor but the named ones and no inherited
   signal setting; it already runs under the outer filter.
5. Whatever goes wrong in the child is reported by the name of the step, and nothing is started.

Steps of the child: 1 tie its life to the launcher; 2 join cgroups; 3 loopback and listener;
4 leave the host's tree; 5 build the image; 6 limits; 7 terminal; 8 drop to the run's uid;
9 descriptors; 10 outer filter; 11 report; 12 execute bubblewrap. It decides nothing: what an
image holds, and whether the host may start a box at all, is the supervisor's knowledge.
"""

import ctypes
import errno
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import termios
from typing import Any

Spec = dict[str, Any]

LISTEN = ("127.0.0.1", 3128)
IMAGE = "/.r"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
TMPFS_FILES = 100_000
MESSAGE = 1 << 17
FIRST_FD = 10

# Numbers that x86_64 and aarch64 share, except the two given apart.
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_CLOSE_RANGE, SYS_MOUNT_SETATTR = 428, 429, 436, 442
SYS_CLONE, SYS_PIVOT_ROOT, SYS_SECCOMP = (
    (220, 41, 277) if os.uname().machine == "aarch64" else (56, 155, 317)
)
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x20000,
    0x10000000,
    0x20000000,
    0x40000000,
)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
MNT_DETACH = 2
AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, AT_RECURSIVE = 0x1000, 0x100, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH = 1, 0x80000, 4
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_IDMAP = 1, 2, 4, 0x100000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

# PyDLL keeps the interpreter lock over the call: after a raw clone there is no other thread.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class StepError(Exception):
    """A step of the child failed: its name, the error number and what it was about."""

    def __init__(self, step: str, number: int, about: str) -> None:
        super().__init__(f"{step}: {about}: {os.strerror(number)}")
        self.step = step
        self.number = number
        self.about = about


def _check(result: int, about: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)
    return result


def _syscall(about: str, number: int, *args: object) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _check(_libc.syscall(ctypes.c_long(number), *wide), about)


def _clone(flags: int) -> int:
    """Fork into new namespaces. 0 in the child, as fork; the caller has one thread only."""
    return _syscall("clone", SYS_CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    _check(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        target,
    )


def _open_tree(path: str, *, recursive: bool) -> int:
    """Clone the mount at a path, which must not be a link, into a detached descriptor."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW
    flags |= AT_RECURSIVE if recursive else 0
    tree = _syscall(path, SYS_OPEN_TREE, -100, os.fsencode(path), flags)
    if stat.S_ISLNK(os.fstat(tree).st_mode):
        os.close(tree)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return tree


def _set_attributes(tree: int, attributes: int, userns: int = 0) -> None:
    packed = struct.pack("<QQQQ", attributes, 0, 0, userns)
    flags = AT_EMPTY_PATH if attributes & MOUNT_ATTR_IDMAP else AT_EMPTY_PATH | AT_RECURSIVE
    _syscall("mount_setattr", SYS_MOUNT_SETATTR, tree, b"", flags, packed, len(packed))


def _attach(tree: int, target: str) -> None:
    """Hang a detached tree in at a path, making the place for it, and close it."""
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if not os.path.exists(target):
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    _syscall(target, SYS_MOVE_MOUNT, tree, b"", -100, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
    os.close(tree)


def _write(path: str, text: str, *, create: bool = False) -> None:
    flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
    descriptor = os.open(path, flags, 0o444)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


# --- steps of the child -------------------------------------------------------------------------


def tie_life(parent: int) -> None:
    """Die when the launcher dies, even if it died before this call."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "parent-death signal")
    watch = select.poll()
    watch.register(parent, select.POLLIN)
    if watch.poll(0):
        os._exit(125)


def map_self(uid: int, gid: int) -> None:
    """As a plain user: be the same user in the new user namespace."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")


def open_listener() -> socket.socket:
    """Bring the loopback of the new network namespace up and listen for the broker."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        flags = struct.unpack_from("H", request, 16)[0]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(LISTEN)
    listener.listen(128)
    return listener


class Image:
    """The file tree of a box, built below a tmpfs that becomes the child's root.

    Everything of the host is opened first, as detached trees; then the host's tree is left; the
    lines of the image are carried out afterwards, when no path leads to the host any more.
    """

    def __init__(self, spec: Spec, root_map: int) -> None:
        self.spec = spec
        self.root_map = root_map
        self.ids = spec["run_uid"], spec["run_gid"]
        self.trees: list[int] = []
        self.devices: dict[str, int] = {}
        self.blank = -1

    def build(self) -> None:
        """Build it all and come back to the new root."""
        self._open()
        self._leave_host()
        self._settle()
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chroot(IMAGE)
        os.chdir("/")
        for kind, *words in self.spec["image"]:
            getattr(self, f"_{kind}")(*words)
        os.chown("/etc", *self.ids)
        os.fchdir(root)
        os.chroot(".")

    def _open(self) -> None:
        """Open what is named, make the root, and give bubblewrap what it needs to run."""
        for source, how in self.spec["sources"]:
            self.trees.append(_open_tree(source, recursive=how in {"read", "write"}))
        for name in DEVICES:
            self.devices[name] = _open_tree(f"/dev/{name}", recursive=False)
        _mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID, "mode=0755,size=8m")  # noqa: S108 - a mount point every host has
        os.chdir("/tmp")  # noqa: S108 - the tmpfs of the line above
        for name in ("proc", "tmp", IMAGE[1:]):
            os.mkdir(name, 0o755)
        _mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        for name, source in self.spec["system"]:
            _attach(_open_tree(source, recursive=True), name)
        for name, text in self.spec["links"]:
            os.symlink(text, name)

    def _leave_host(self) -> None:
        """Make the tmpfs the root and let go of the host's tree."""
        _syscall("pivot_root", SYS_PIVOT_ROOT, b".", b".")
        _check(_libc.umount2(b".", MNT_DETACH), "host tree")
        os.chdir("/")
        os.close(os.open("/.n", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
        self.blank = os.open("/.n", os.O_PATH | os.O_CLOEXEC)

    def _settle(self) -> None:
        """Give every tree its attributes, before it is seen anywhere."""
        for tree, (_, how) in zip(self.trees, self.spec["sources"], strict=True):
            if how in {"lend", "map"}:
                self._idmap(tree)
            fixed = MOUNT_ATTR_RDONLY if how in {"read", "lend", "lower"} else 0
            _set_attributes(tree, fixed | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
        for tree in self.devices.values():
            _set_attributes(tree, MOUNT_ATTR_NOSUID)

    def _idmap(self, tree: int) -> None:
        """Let the owner of a tree appear as the run's user."""
        owner = os.fstat(tree)
        try:
            userns = self.root_map
            if (owner.st_uid, owner.st_gid) != (0, 0):
                userns = user_namespace((owner.st_uid, self.ids[0]), (owner.st_gid, self.ids[1]))
            _set_attributes(tree, MOUNT_ATTR_IDMAP, userns)
        except OSError as error:
            raise StepError("idmap", error.errno or 0, str(error.filename)) from error

    # Lines of the image: every method is one kind.

    def _tree(self, target: str, index: int) -> None:
        _attach(self.trees[index], target)

    def _link(self, target: str, text: str) -> None:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        os.symlink(text, target)

    def _tmpfs(self, target: str, size: int, mode: int) -> None:
        os.makedirs(target, 0o755, exist_ok=True)
        uid, gid = self.ids
        options = f"mode={mode:o},uid={uid},gid={gid},nr_inodes={TMPFS_FILES}"
        options += f",size={size}" if size else ""
        _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options)

    def _file(self, target: str, text: str) -> None:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        _write(target, text, create=True)

    def _proc(self, target: str) -> None:
        os.mkdir(target, 0o755)
        _mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)

    def _seal(self, target: str) -> None:
        tree = _open_tree(target, recursive=True)
        _set_attributes(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
        _attach(tree, target)

    def _blank(self, target: str) -> None:
        flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
        tree = _syscall(target, SYS_OPEN_TREE, self.blank, b"", flags)
        _set_attributes(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
        _attach(tree, target)

    def _empty(self, target: str) -> None:
        flags = MS_RDONLY | MS_NOSUID | MS_NODEV
        _mount("tmpfs", target, "tmpfs", flags, "mode=0555,size=4k")

    def _dev(self, target: str) -> None:
        os.mkdir(target, 0o755)
        _mount("tmpfs", target, "tmpfs", MS_NOSUID, "mode=0755,size=64k")
        for name in DEVICES:
            _attach(self.devices[name], f"{target}/{name}")
        for name, text in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            os.symlink(f"/proc/self/fd{text}", f"{target}/{name}")
        os.symlink("pts/ptmx", f"{target}/ptmx")
        for name in ("pts", "shm"):
            os.mkdir(f"{target}/{name}", 0o755)
        options = "newinstance,ptmxmode=0666,mode=620"
        _mount("devpts", f"{target}/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
        packed = struct.pack("<QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
        _syscall(target, SYS_MOUNT_SETATTR, -100, os.fsencode(target), 0, packed, len(packed))

    def _overlay(self, target: str, lower: int, layer: int) -> None:
        """Mount the workspace copy-on-write; overlayfs keeps its own clones of both sides."""
        options = "lowerdir=/.l,upperdir=/.u/upper,workdir=/.u/work,redirect_dir=nofollow"
        options += ",index=off,metacopy=off,xino=off,volatile"
        options += ",userxattr" if self.spec["user"] else ""
        _attach(self.trees[lower], "/.l")
        _attach(self.trees[layer], "/.u")
        os.makedirs(target, 0o755, exist_ok=True)
        try:
            _mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, options)
        except OSError as error:
            raise StepError("overlay", error.errno or 0, "workspace") from error
        for name in ("/.l", "/.u"):
            _check(_libc.umount2(name.encode(), MNT_DETACH), "overlay layers")
            os.rmdir(name)


def user_namespace(uids: tuple[int, int], gids: tuple[int, int]) -> int:
    """Give a namespace that maps one uid and one gid, as a descriptor to map a mount with."""
    child = _clone(CLONE_NEWUSER)
    if child == 0:
        while True:
            signal.pause()
    try:
        _write(f"/proc/{child}/gid_map", f"{gids[0]} {gids[1]} 1")
        _write(f"/proc/{child}/uid_map", f"{uids[0]} {uids[1]} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def become(uid: int, gid: int) -> None:
    """Take the run's uid for good. Uid 0 is refused here whatever was asked for."""
    if uid == 0 or gid == 0:
        raise OSError(errno.EPERM, "a box never runs as uid 0", "uid")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def arrange_descriptors(fds: list[int], keep: int) -> int:
    """Put ``fds`` at 0, 1, 2 and from FIRST_FD on, close all others; give the new ``keep``."""
    floor = FIRST_FD + len(fds) + 1
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, floor) for fd in [*fds, keep]]
    for index, fd in enumerate(high[:-1]):
        os.dup2(fd, index if index < 3 else FIRST_FD + index - 3)
    last = FIRST_FD + len(fds) - 3
    os.dup2(high[-1], last, inheritable=False)
    for first, final in ((3, FIRST_FD - 1), (last + 1, 0xFFFFFFFF)):
        _syscall("close_range", SYS_CLOSE_RANGE, first, final, 0)
    return last


def load_filter(program: bytes) -> None:
    """Lay the outer filter over this process; no privilege can be gained from here on."""
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _syscall("seccomp", SYS_SECCOMP, 1, 0, header)


def reset_signals() -> None:
    """Give back the dispositions Python changed: ignored signals survive execve."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


class Progress:
    """Which step the child is at."""

    step = "life"


def prepare(request: Spec, report: int, parent: int, at: Progress) -> int:
    """Go the steps that need no plan; give the namespace that maps root to the run's uid.

    They are done ahead because joining a control group of version 1 and making a network
    namespace take the kernel longer than all the rest.
    """
    tie_life(parent)
    reset_signals()
    os.umask(0o022)
    if request["user"]:
        at.step = "uid-map"
        map_self(request["run_uid"], request["run_gid"])
    at.step = "cgroup"
    for path in request["cgroups"]:
        _write(path, "0")
    at.step = "network"
    with open_listener() as listener, socket.socket(fileno=os.dup(report)) as channel:
        socket.send_fds(channel, [b'{"listening":true}'], [listener.fileno()])
    at.step = "private"
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if request["user"]:
        return -1
    return user_namespace((0, request["run_uid"]), (0, request["run_gid"]))


def finish(spec: Spec, fds: list[int], root_map: int, parent: int, at: Progress) -> None:
    """Go the steps from the order to the last before the descriptors are arranged."""
    at.step = "image"
    Image(spec, root_map).build()
    at.step = "limits"
    for number, value in spec["rlimits"]:
        resource.setrlimit(number, (value, value))
    at.step = "terminal"
    os.setsid()
    if spec["terminal"]:
        fcntl.ioctl(fds[0], termios.TIOCSCTTY, 0)
    at.step = "uid"
    if not spec["user"]:
        become(spec["run_uid"], spec["run_gid"])
    tie_life(parent)


def child_steps(request: Spec, report: int, orders: int, parent: int) -> None:
    """Go the twelve steps of the module's docstring; only a failure or no order returns."""
    at = Progress()
    try:
        root_map = prepare(request, report, parent, at)
        at.step = "order"
        with socket.socket(fileno=orders) as channel:
            data, fds, _, _ = socket.recv_fds(channel, MESSAGE, 32, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return
        spec = json.loads(data) | request
        finish(spec, fds, root_map, parent, at)
        at.step = "descriptors"
        report = arrange_descriptors(fds, report)
        at.step = "filter"
        load_filter(bytes.fromhex(spec["filter"]))
        at.step = "execute"
        os.execve(spec["bwrap"], spec["argv"], {})  # noqa: S606 - a list, resolved by the supervisor
    except StepError as error:
        tell(report, error.step, error.number, error.about)
    except OSError as error:
        about = error.filename if isinstance(error.filename, str) else ""
        tell(report, at.step, error.errno or 0, about)
    except BaseException as error:  # noqa: BLE001 - whatever it is, nothing may go on from here
        tell(report, at.step, 0, repr(error))


def tell(report: int, step: str, number: int, about: str) -> None:
    """Report a failed step."""
    message = {"step": step, "errno": number, "about": about[:500]}
    os.write(report, json.dumps(message).encode())


# --- the launcher itself ------------------------------------------------------------------------


def clone_box(request: Spec, report: int, orders: int, own: int) -> tuple[int, int]:
    """Clone the child of one box; give its pid and a pidfd."""
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET
    try:
        pid = _clone(flags | (CLONE_NEWUSER if request["user"] else 0))
    except OSError as error:
        tell(report, "namespaces", error.errno or 0, "clone")
        raise
    if pid == 0:
        try:
            child_steps(request, report, orders, own)
        finally:
            os._exit(125)
    pidfd = os.pidfd_open(pid)
    channel = socket.socket(fileno=os.dup(report))
    socket.send_fds(channel, [json.dumps({"pid": pid}).encode()], [pidfd])
    return pid, pidfd


def serve(supervisor: socket.socket) -> None:
    """Take requests and report ends until the supervisor is gone."""
    own = os.pidfd_open(os.getpid())
    boxes: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(supervisor, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd in boxes:
                number, pid = boxes.pop(fd)
                poll.unregister(fd)
                os.close(fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                supervisor.send(json.dumps({"box": number, "code": code}).encode())
                continue
            data, fds, _, _ = socket.recv_fds(supervisor, MESSAGE, 2, socket.MSG_CMSG_CLOEXEC)
            if not data:
                return
            request = json.loads(data)
            try:
                report, orders = fds
                pid, pidfd = clone_box(request, report, orders, own)
                boxes[pidfd] = request["box"], pid
                poll.register(pidfd, select.POLLIN)
            except OSError:
                supervisor.send(json.dumps({"box": request["box"], "code": 125}).encode())
            finally:
                for received in fds:
                    os.close(received)


def main(descriptor: int, supervisor: int) -> None:
    """Run as the program: ``launcher.py FD PID`` with the socket and the supervisor's pid."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "parent-death signal")
    if os.getppid() != supervisor:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir("/")
    gc.disable()  # nothing here makes cycles, and a collection would copy the pages of every child
    serve(socket.socket(fileno=descriptor))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
