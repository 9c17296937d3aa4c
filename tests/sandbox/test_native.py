"""Every lock of a native box, each with the proof that the attack works without it."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from shutil import which
from typing import Any

import pytest

pytestmark = pytest.mark.box

PROBE = r"""
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(*args):
    ctypes.set_errno(0)
    got = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return "ok" if got >= 0 else errno.errorcode[ctypes.get_errno()]
def sock(*args):
    try:
        socket.socket(*args).close()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
page = ctypes.create_string_buffer(4096)
open("/tmp/f", "w").close()
found = {
    "socket-unix": sock(socket.AF_UNIX, socket.SOCK_STREAM),
    "socket-vsock": sock(40, socket.SOCK_STREAM),
    "socket-netlink": sock(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "socket-alg": sock(38, socket.SOCK_SEQPACKET),
    "socket-inet-tcp": sock(socket.AF_INET, socket.SOCK_STREAM),
    "socket-inet6-udp": sock(socket.AF_INET6, socket.SOCK_DGRAM),
    "socket-mptcp": sock(socket.AF_INET, socket.SOCK_STREAM, 262),
    "io_uring_setup": call(425, 1, page),
    "userfaultfd": call(323, 1),
    "keyctl": call(250, 0, -3, 1),
    "add_key": call(248, b"user", b"x", b"y", 1, -2),
    "process_vm_readv": call(310, os.getpid(), 0, 0, 0, 0, 0),
    "kcmp": call(312, os.getpid(), os.getpid(), 0, 0, 1),
    "personality": call(135, 0x0400000),
    "name_to_handle_at": call(303, -100, b"/tmp/f", page, page, 0),
    "open_tree": call(428, -100, b"/tmp", 0),
    "openat2": call(437, -100, b"/tmp", (ctypes.c_uint64 * 3)(0x200000, 0, 0), 24),
    "fchmodat2-setuid": call(452, -100, b"/tmp/f", 0o4755, 0),
    "chmod-setgid": call(90, b"/tmp/f", 0o2755),
    "open-setuid": call(2, b"/tmp/g", 0o102, 0o4755),
    "chmod-plain": call(90, b"/tmp/f", 0o755),
    "open-garbage-mode": call(2, b"/tmp/f", 0, 0o7777),
    "unshare-newuser": call(272, 0x10000000),
    "unshare-files": call(272, 0x400),
    "modify_ldt": call(154, 0, page, 16),
    "ptrace-traceme": call(101, 0, 0, 0, 0),
    "unknown-new-call": call(470, 0, 0, 0, 0),
}
a, b = socket.socketpair()
a.send(b"x")
found["socketpair"] = "ok" if b.recv(1) == b"x" else "broken"
print(json.dumps(found))
"""

DENIED = {
    "socket-unix": "EAFNOSUPPORT",
    "socket-vsock": "EAFNOSUPPORT",
    "socket-netlink": "EAFNOSUPPORT",
    "socket-mptcp": "EAFNOSUPPORT",
    "io_uring_setup": "EPERM",
    "userfaultfd": "EPERM",
    "keyctl": "EPERM",
    "add_key": "EPERM",
    "process_vm_readv": "EPERM",
    "kcmp": "EPERM",
    "personality": "EPERM",
    "name_to_handle_at": "EPERM",
    "open_tree": "EPERM",
    "openat2": "ENOSYS",
    "fchmodat2-setuid": "EPERM",
    "chmod-setgid": "EPERM",
    "open-setuid": "EPERM",
    "unshare-newuser": "EPERM",
    "modify_ldt": "EPERM",
    "ptrace-traceme": "EPERM",
}
ALLOWED = (
    "socket-inet-tcp", "socket-inet6-udp", "chmod-plain", "open-garbage-mode", "unshare-files",
    "socketpair",
)  # fmt: skip


@pytest.fixture(scope="session")
def probes(holder: Any) -> tuple[dict, dict]:
    """The results of all probes inside a box, with and without the two filters."""
    held, free = holder.python(PROBE), holder.python(PROBE, filters=False)
    assert held["code"] == free["code"] == 0, held["out"] + free["out"]
    return json.loads(held["out"]), json.loads(free["out"])


@pytest.mark.parametrize("name", DENIED)
def test_a_dangerous_call_is_denied_by_the_filter(probes: Any, name: str) -> None:
    """Without the filters the same call in the same box has another answer."""
    held, free = probes
    assert held[name] == DENIED[name]
    assert free[name] != DENIED[name]


@pytest.mark.parametrize("name", ALLOWED)
def test_an_ordinary_call_is_not_denied(probes: Any, name: str) -> None:
    """The filter leaves alone what programs need."""
    held, _ = probes
    assert held[name] == "ok"


def test_a_call_newer_than_the_table_does_not_exist(probes: Any) -> None:
    """What was never judged is off."""
    held, _ = probes
    assert held["unknown-new-call"] == "ENOSYS"


def test_a_file_of_the_host_is_not_there(holder: Any) -> None:
    """A file outside the plan cannot be read, nor found; unboxed it can."""
    secret = holder.place / "data" / "id_ed25519"
    secret.write_text("host-key")
    secret.chmod(0o644)
    assert holder.unboxed("/bin/cat", str(secret))["out"] == "host-key"
    held = holder.box("/bin/cat", str(secret))
    assert held["code"] == 1
    assert "No such file" in held["out"]


def test_the_root_of_a_box_holds_only_what_the_plan_names(holder: Any) -> None:
    """No home of the host, no /sys, no /run, and nothing of it can be written."""
    held = holder.box("/bin/ls", "/")
    assert set(held["out"].split()) <= {
        "bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp",
        "usr", "var",
    }  # fmt: skip
    held = holder.python(
        "import os\n"
        "for f in ('/x', '/etc/x', '/usr/x', '/dev/x', '/proc/sys/kernel/core_pattern'):\n"
        "    try: open(f, 'w'); print('wrote', f)\n"
        "    except OSError: pass\n"
    )
    assert held["out"] == ""


def test_kernel_settings_are_sealed(holder: Any) -> None:
    """/proc/sys is a read-only mount; without that line of the plan it is a writable one."""
    code = (
        "print([l.split()[5] for l in open('/proc/self/mountinfo')"
        " if l.split()[4] == '/proc/sys'][-1:])"
    )
    seal = ["seal", "/proc/sys"]
    assert "'ro," in holder.python(code)["out"]
    assert "'ro," not in holder.python(code, without=[seal])["out"]


def test_a_boxed_process_is_never_root_for_the_kernel(holder: Any) -> None:
    """The uid map of a box never leads to kernel-uid 0."""
    held = holder.python(
        "import os; print(os.getuid(), os.getgid(), open('/proc/self/uid_map').read())"
    )
    uid, gid, inside, _, count = held["out"].split()
    assert (uid, gid, inside, count) == ("1000", "1000", "1000", "1")
    kernel = int(held["mark"].split(":")[4])
    assert kernel != 0
    if holder.identity == "own" and os.geteuid() == 0:
        assert 200_000 <= kernel < 210_000


def test_no_capability_and_no_way_to_one(holder: Any) -> None:
    """All capability sets are empty and new privileges are off."""
    held = holder.python("print(open('/proc/self/status').read())")
    status = dict(line.split(":\t", 1) for line in held["out"].splitlines() if ":\t" in line)
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp_filters"] == "2"


def test_the_environment_of_the_host_does_not_leak(holder: Any) -> None:
    """Not into the payload and not through the init of the box; unboxed it is plain to see."""
    code = (
        "import os\nprint(dict(os.environ))\n"
        "for p in os.listdir('/proc'):\n"
        "    if p.isdigit():\n"
        "        try: print(p, open(f'/proc/{p}/environ').read())\n"
        "        except PermissionError: print(p, 'closed')\n"
    )
    assert "srv-7" in holder.unboxed("/usr/bin/env")["out"]
    held = holder.python(code, env={"GREETING": "hello"})
    assert "srv-7" not in held["out"]
    assert "'GREETING': 'hello'" in held["out"]
    assert "\n1 closed\n" in held["out"]


def test_the_environment_of_bubblewrap_is_empty(new_holder: Any) -> None:
    """Seen from the host: no process of a running box has the supervisor's environment."""
    keeper = new_holder("own")
    mark = keeper.ask(do="stay", argv=["/usr/bin/python3", "-c", DAEMON])["mark"]
    assert Path(f"/proc/{mark.split(':')[2]}/environ").read_bytes() == b""
    assert b"srv-7" in Path(f"/proc/{keeper.hello['pid']}/environ").read_bytes()


def test_a_value_is_not_in_the_arguments_of_bubblewrap(holder: Any) -> None:
    """A placeholder reaches the payload's environment and no process's command line."""
    code = (
        "import os\nprint('value', os.environ['TOKEN'])\n"
        "for p in os.listdir('/proc'):\n"
        "    if p.isdigit(): print('line', open(f'/proc/{p}/cmdline').read())\n"
    )
    held = holder.python(code, secrets={"TOKEN": "gh"}, placeholders={"TOKEN": "ghp_placeholder"})
    assert "value ghp_placeholder" in held["out"]
    assert "ghp_placeholder" not in held["out"].partition("line")[2]


def test_no_descriptor_leaks_into_a_box(holder: Any) -> None:
    """Only the standard streams are open; unboxed an inherited one is readable."""
    code = "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd')))"
    held = holder.python(code)
    assert held["out"].strip() == "[0, 1, 2, 3]"  # 3 is the listing itself


def test_the_only_route_is_the_broker(holder: Any) -> None:
    """An address of the host is unreachable; the broker's port is served from outside."""
    code = (
        "import socket\n"
        "for host, port in (('192.0.2.1', 80), ('169.254.169.254', 80), ('10.0.0.1', 53)):\n"
        "    try: socket.create_connection((host, port), 2); print('reached', host)\n"
        "    except OSError as e: print(e.errno)\n"
        "s = socket.create_connection(('127.0.0.1', 3128), 5)\n"
        "s.sendall(b'from the box'); print(s.recv(100).decode())\n"
    )
    held = holder.python(code, accept=True)
    assert held["accepted"] == "from the box"
    assert held["out"].split("\n")[:4] == ["101", "101", "101", "from the broker"]


def test_a_service_of_the_host_is_not_reachable_by_loopback(holder: Any) -> None:
    """The loopback of a box is its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 3)"
        assert holder.unboxed("/usr/bin/python3", "-c", code)["code"] == 0
        assert holder.python(code)["code"] == 1


def test_the_init_of_a_box_is_filtered_too(holder: Any) -> None:
    """Process 1 of the box is out of reach, and runs under the outer filter besides.

    With bubblewrap's own init in the payload's user namespace its memory would be writable.
    """
    code = (
        "lines = open('/proc/1/status').read().splitlines()\n"
        "print([l for l in lines if l.startswith('Seccomp:')])\n"
        "try: open('/proc/1/mem', 'r+b').close(); print('writable')\n"
        "except OSError: print('closed')\n"
    )
    held = holder.python(code)
    assert "Seccomp:\\t2" in held["out"]
    assert "closed" in held["out"]


def test_input_cannot_be_pushed_into_the_terminal(holder: Any) -> None:
    """TIOCSTI is denied inside a terminal box, and works there without the filters."""
    code = (
        "import fcntl, termios\n"
        "try: fcntl.ioctl(0, termios.TIOCSTI, b'x'); print('pushed')\n"
        "except OSError as e: print('errno', e.errno)\n"
    )
    held = holder.python(code, terminal=True)
    assert "errno 1" in held["out"]
    if Path("/proc/sys/dev/tty/legacy_tiocsti").read_text().strip() == "1":
        assert "pushed" in holder.python(code, terminal=True, filters=False)["out"]


def test_a_terminal_box_has_a_controlling_terminal(holder: Any) -> None:
    """The pty given to the box is its terminal; others have none."""
    code = (
        "import os, signal\nsignal.signal(signal.SIGTTOU, signal.SIG_IGN)\nopen('/dev/tty')\n"
        "os.setpgid(0, 0); os.tcsetpgrp(0, os.getpgrp())\n"
        "print('foreground', os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp())\n"
    )
    held = holder.python(code, terminal=True)
    assert "foreground True" in held["out"]
    assert held["code"] == 0
    assert holder.python("open('/dev/tty')")["code"] == 1


def test_a_fork_bomb_meets_the_limit(holder: Any) -> None:
    """No more processes than the plan says, counted by the kernel."""
    code = (
        "import os, signal\nchildren = []\n"
        "try:\n"
        "    for _ in range(200):\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n"
        "            signal.pause()\n"
        "        children.append(pid)\n"
        "except OSError as e: print('stopped', len(children), e.errno)\n"
    )
    held = holder.python(code, limits={"processes": 20})
    assert held["out"].split()[0::2] == ["stopped", "11"]
    assert int(held["out"].split()[1]) <= 20
    assert "stopped" not in holder.python(code, limits={"processes": 400})["out"]


def test_memory_meets_the_limit(holder: Any) -> None:
    """A hog ends at the limit; with room it lives."""
    code = "x = bytearray(300 * 1024 * 1024); print('lives')"
    small = holder.python(code, limits={"memory_bytes": 100 * 1024**2})
    assert small["code"] != 0
    assert "lives" not in small["out"]
    assert "lives" in holder.python(code, limits={"memory_bytes": 600 * 1024**2})["out"]


def test_every_limit_names_what_enforces_it(holder: Any) -> None:
    """The box says what holds each number of its plan."""
    held = holder.box("/bin/true")
    assert {limit for limit, _, _ in held["enforced"]} == {
        "memory_bytes", "processes", "cpu_seconds", "wall_seconds", "open_files", "file_bytes",
        "tmp_bytes", "output_bytes",
    }  # fmt: skip


def test_a_limit_of_zero_is_refused(holder: Any) -> None:
    """What cannot be enforced does not start."""
    held = holder.box("/bin/true", limits={"memory_bytes": 0})
    assert (held["kind"], held["error"]["code"]) == ("Refused", "isolation-limit")


def test_a_file_cannot_outgrow_the_limit(holder: Any) -> None:
    """File size is bounded, and so is the temporary file system."""
    code = (
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: open('/tmp/a', 'wb').write(b'x' * 3_000_000)\n"
        "except OSError as e: print('file', e.errno)\n"
        "try:\n"
        "    for i in range(9): open(f'/tmp/b{i}', 'wb').write(b'x' * 900_000)\n"
        "except OSError as e: print('disk', e.errno)\n"
    )
    held = holder.python(code, limits={"file_bytes": 1_000_000, "tmp_bytes": 4_000_000})
    assert held["out"].split() == ["file", "27", "disk", "28"]


DAEMON = (
    "import os, signal, sys, time\n"
    "for s in range(1, 65):\n"
    "    try: signal.signal(s, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        print('hidden', flush=True)\n"
    "        while True: time.sleep(1)\n"
    "    os._exit(0)\n"
    "while True: time.sleep(1)\n"
)


def descendants(mark: str) -> list[str]:
    """Give the processes that share the pid namespace a box had."""
    pid = mark.split(":")[2]
    return [p.name for p in Path("/proc").glob(pid)]


def test_kill_ends_what_hides(holder: Any) -> None:
    """Double fork, new session and ignored signals do not survive the end of the box."""
    began = time.monotonic()
    held = holder.python(DAEMON, kill_at="hidden", env={"MARKER": "hides"})
    assert held["ended_by"] == "test"
    assert held["code"] == 137
    assert time.monotonic() - began < 20
    assert descendants(held["mark"]) == []
    assert processes_with(b"MARKER=hides") == []


def processes_with(text: bytes) -> list[str]:
    """Give the processes whose environment holds a text (root sees all, a user its own)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if text in (entry / "environ").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


def test_what_the_command_leaves_behind_ends_with_it(holder: Any) -> None:
    """When the payload ends, its background children end before `wait` answers."""
    code = DAEMON.rpartition("while True")[0] + "sys.exit(7)\n"
    held = holder.python(code, env={"MARKER": "stays"})
    assert (held["code"], held["ended_by"]) == (7, None)
    assert processes_with(b"MARKER=stays") == []


def test_nothing_is_left_afterwards(holder: Any) -> None:
    """No process, mount, network namespace, control group or temporary file stays."""

    def picture() -> tuple:
        groups = list(Path("/sys/fs/cgroup").glob(f"**/ringfence-{holder.hello['pid']}-*"))
        mounts = Path(f"/proc/{holder.hello['pid']}/mountinfo").read_text()
        files = sorted(os.listdir("/dev/shm")), sorted(os.listdir(holder.place / "state"))
        names = [g.name.rpartition("-")[0] for g in groups]
        return mounts, files, len(set(names)) <= 1

    before = picture()
    held = holder.box("/bin/true")
    assert held["code"] == 0
    assert picture() == before


def test_twenty_boxes_at_once(holder: Any) -> None:
    """Twenty boxes run side by side, each alone, each with a uid of its own as root."""
    code = "import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]))"
    found = holder.ask(do="many", count=20, argv=["/usr/bin/python3", "-c", code])["answers"]
    assert [answer["out"].strip() for answer in found] == ["2"] * 20
    if holder.identity == "own" and os.geteuid() == 0:
        assert len({answer["mark"].split(":")[4] for answer in found}) == 20


def gone(pid: int) -> bool:
    """Say whether a process has ended, waiting at most ten seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("identity", ["own", "plain"] if os.geteuid() == 0 else ["own"])
def test_the_death_of_the_supervisor_is_the_death_of_its_boxes(
    new_holder: Any, identity: str
) -> None:
    """Kill -9 of the supervisor ends launcher, prepared child and running box."""
    lost = new_holder(identity)
    stays = lost.ask(do="stay", argv=["/usr/bin/python3", "-c", DAEMON])
    box = int(stays["mark"].split(":")[2])
    assert Path(f"/proc/{box}").exists()
    lost.process.send_signal(signal.SIGKILL)
    lost.process.wait()
    assert gone(lost.hello["launcher"])
    assert gone(box)


def test_a_box_is_ended_by_its_mark_alone(new_holder: Any) -> None:
    """Another supervisor ends a box it knows only by mark, and a foreign pid never."""
    owner, other = new_holder("own"), new_holder("own")
    mark = owner.ask(do="stay", argv=["/usr/bin/python3", "-c", DAEMON])["mark"]
    parts = mark.split(":")
    wrong = ":".join([*parts[:3], str(int(parts[3]) + 1), parts[4], "none"])
    assert other.ask(do="reap", mark=wrong)["ended"] == 0
    assert Path(f"/proc/{parts[2]}").exists()
    assert other.ask(do="reap", mark=mark)["ended"] >= 1
    assert gone(int(parts[2]))
    assert other.ask(do="reap", mark=mark)["ended"] == 0


def test_a_missing_source_is_named(holder: Any) -> None:
    """A mount that is not there fails the start with its path."""
    held = holder.box("/bin/true", mounts=[["/data", "read-only", "/nowhere/at/all", 0]])
    assert held["kind"] == "Unavailable"
    assert held["error"]["code"] == "box-source-missing"
    assert "/nowhere/at/all" in held["error"]["message"]


def test_a_link_as_source_is_refused(holder: Any) -> None:
    """A source that turns out to be a link is not followed."""
    link = holder.place / "data" / "link"
    if not link.is_symlink():
        link.symlink_to("/etc")
    held = holder.box("/bin/true", mounts=[["/data", "read-only", str(link), 0]])
    assert held["error"]["code"] == "box-source-missing"


def test_what_bubblewrap_cannot_do_is_a_refusal(holder: Any) -> None:
    """When bubblewrap cannot build the box, the start fails instead of the agent."""
    held = holder.box("/bin/true", filters="crippled")
    assert held["error"]["code"] == "isolation-bwrap-failed"


def test_a_failure_after_the_tree_is_not_the_agents(holder: Any) -> None:
    """The exit says that isolation failed; no agent ran."""
    held = holder.box("/bin/echo", "ran", cwd="/nowhere")
    assert held["ended_by"] == "isolation-failed"
    assert "ran" not in held["out"].split()


def test_a_place_in_a_read_only_tree_is_refused(holder: Any) -> None:
    """A mount point that cannot be made is named."""
    held = holder.box("/bin/true", mounts=[["/usr/nonexistent/deep", "tmpfs", "", 1000]])
    assert held["error"]["code"] == "box-path-conflict"


def test_another_backend_is_refused(holder: Any) -> None:
    """A plan for another backend is not run by this one."""
    held = holder.box("/bin/true", backend="docker")
    assert held["error"]["code"] == "isolation-backend"


@pytest.mark.parametrize("way", ["overlay", "copy"])
def test_a_workspace_is_writable_and_the_host_is_untouched(
    holder: Any, tree: Any, way: str
) -> None:
    """What a box writes stays in its layer; overlay and copy behave alike."""
    held = holder.box(
        "/bin/sh", "-c", "echo two >> src/app.py; rm readme.txt; mkdir new; ls",
        workspace=tree, copy=way == "copy",
    )  # fmt: skip
    assert held["out"].split() == ["new", "src"]
    assert held["workspace"] == way
    assert sorted(os.listdir(tree["directory"])) == ["readme.txt", "src"]
    assert (Path(tree["directory"]) / "src/app.py").read_text() == "print('one')\n"


def test_a_read_only_workspace_cannot_be_written(holder: Any, tree: Any) -> None:
    """With read access the tree is there and fixed."""
    held = holder.box(
        "/bin/sh", "-c", "cat readme.txt; echo x > readme.txt", workspace=tree | {"access": "read"}
    )
    assert held["out"].startswith("read me\n")
    assert "Read-only file system" in held["out"]


def test_a_private_file_of_the_owner_is_readable_in_its_workspace(holder: Any, tree: Any) -> None:
    """Mode 0600 is no obstacle to the run's uid: the owner is mapped to it."""
    private = Path(tree["directory"]) / "private"
    private.write_text("mine")
    private.chmod(0o600)
    if holder.identity == "plain":
        os.chown(private, 1001, 1001)
    assert holder.box("/bin/cat", "private", workspace=tree)["out"] == "mine"


def test_a_layer_serves_one_attempt(holder: Any, tree: Any) -> None:
    """The changes of one attempt are never continued by another."""
    assert holder.box("/bin/true", workspace=tree)["code"] == 0
    assert holder.box("/bin/true", workspace=tree)["error"]["code"] == "layer-in-use"


def test_our_own_state_is_lent_and_handed_over(holder: Any) -> None:
    """Private files below the state directory are readable, writable ones are written."""
    state = holder.place / "state"
    given = state / "input.txt"
    given.write_text("input")
    given.chmod(0o600)
    out = state / "out"
    out.mkdir(exist_ok=True)
    if holder.identity == "plain":
        os.chown(given, 1001, 1001)
        os.chown(out, 1001, 1001)
    mounts = [
        ["/run/ringfence/in/a", "read-only", str(given), 0],
        ["/run/ringfence/out", "read-write", str(out), 0],
    ]
    held = holder.box(
        "/bin/sh", "-c", "cd /run/ringfence; cat in/a > out/b; echo x >> in/a",
        mounts=mounts,
    )  # fmt: skip
    assert (out / "b").read_text() == "input"
    assert "Read-only file system" in held["out"]


@pytest.mark.only_root("only root can hand root's directories out")
def test_a_directory_of_root_is_not_given_to_a_box_to_write(new_holder: Any) -> None:
    """Outside our state a writable mount of root's is refused: its files would be root's."""
    lender = new_holder("own")
    held = lender.box("/bin/true", mounts=[["/data", "read-write", "/var/tmp", 0]])
    assert held["error"]["code"] == "box-writes-as-root"


UTILITIES = {
    "python": "/usr/bin/python3 -c 'import ssl, sqlite3, json; print(\"fine\")'",
    "sqlite": '/usr/bin/python3 -c \'import sqlite3; c = sqlite3.connect("a.db");'
    ' c.execute("create table t(x)"); c.execute("insert into t values(1)"); c.commit();'
    ' print("fine")\'',
    "threads": "/usr/bin/python3 -c 'import threading as t; x = [t.Thread(target=len, args=([],))"
    ' for _ in range(30)]; [y.start() for y in x]; [y.join() for y in x]; print("fine")\'',
    "multiprocessing": "/usr/bin/python3 -c 'import multiprocessing as m;"
    ' print("fine" if m.Pool(3).map(abs, [-1, -2]) == [1, 2] else 0)\'',
    "git": "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x"
    " && git log --pretty=tformat:fine",
    "gcc": "printf '#include <stdio.h>\\nint main(){puts(\"fine\");}' > a.c && gcc a.c -o a && ./a",
    "node": 'node -e \'require("child_process").execSync("true"); console.log("fine")\'',
    "shell": "find / -maxdepth 1 >/dev/null && tar cf - /etc/passwd 2>/dev/null | tar tf -"
    " >/dev/null && id -un >/dev/null && echo fine",
}


PRESENT = [name for name in UTILITIES if name not in {"git", "gcc", "node"} or which(name)]


@pytest.mark.parametrize("name", PRESENT)
def test_ordinary_work_goes_on(holder: Any, tree: Any, name: str) -> None:
    """The locks do not stop what agents do all day."""
    held = holder.box("/bin/sh", "-c", UTILITIES[name], workspace=tree)
    assert held["out"].strip().endswith("fine"), held
    assert held["code"] == 0


# --- S20: what is missing refuses, and never weakens ---


@pytest.mark.only_root("only root can lose the grant of root")
def test_root_without_its_grant_is_refused(new_holder: Any) -> None:
    """Without CAP_SYS_ADMIN no box starts as root; the message names the grant and the way."""
    poor = new_holder("poor")
    held = poor.box("/bin/true")
    assert held["kind"] == "Refused"
    assert held["error"]["code"] == "isolation-cap-sys-admin"
    assert "--cap-add SYS_ADMIN" in held["error"]["hint"]


def test_a_host_without_user_namespaces_is_refused(new_holder: Any) -> None:
    """Where the kernel refuses the namespaces themselves, the start is refused too."""
    barred = new_holder("barred")
    held = barred.box("/bin/true")
    assert held["kind"] == "Refused"
    assert held["error"]["code"].startswith("isolation-")
    assert held["error"]["hint"]
    assert held["out"] == ""


def test_a_lost_launcher_is_no_weaker_box(new_holder: Any) -> None:
    """When the launcher is killed, running boxes end and no new one starts."""
    bereft = new_holder("own")
    assert bereft.box("/bin/true")["code"] == 0
    os.kill(bereft.hello["launcher"], signal.SIGKILL)
    assert gone(bereft.hello["launcher"])
    held = bereft.box("/bin/true")
    assert held["error"]["code"] == "isolation-launcher"
