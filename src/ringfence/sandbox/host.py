"""What this host offers to hold a box: facts, each with what to do when it is missing.

Invariants:
1. Facts are read, never guessed: what cannot be read counts as missing.
2. Every fact a box cannot do without is marked ``needed`` and carries the command that gives it.

It judges nothing beyond that; ``doctor`` prints it and `require` turns it into a refusal.
"""

import ctypes
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from ringfence.chain.errors import Refused
from ringfence.sandbox import bwrap, limits, seccomp

CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_CHOWN = 21, 7, 6, 0
_ROOT_CAPS = (CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_CHOWN)
OLDEST_KERNEL = (5, 12)
OVERLAY_IDMAP_KERNEL = (5, 19)
SYS_LANDLOCK_CREATE_RULESET = 444


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact: its name, whether it is as wanted, what was found, how to give it."""

    name: str
    ok: bool
    value: str
    fix: str = ""
    needed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """All facts about this host, in the order ``doctor`` prints them."""

    facts: tuple[Fact, ...]

    @property
    def missing(self) -> tuple[Fact, ...]:
        """Give the facts without which no box can be held."""
        return tuple(fact for fact in self.facts if fact.needed and not fact.ok)


def require(found: HostFacts) -> None:
    """Refuse when anything needed is missing, naming the first thing and its fix.

    Raises Refused with code ``isolation-<fact>``.
    """
    for fact in found.missing:
        raise Refused(
            f"isolation-{fact.name}",
            f"this host cannot hold a box: {fact.name} is {fact.value}",
            hint=fact.fix,
        )


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _kernel() -> Fact:
    release = platform.release()
    return Fact(
        name="kernel",
        ok=_version(release) >= OLDEST_KERNEL,
        value=release,
        fix="boot a Linux kernel 5.12 or newer",
    )


def _version(release: str) -> tuple[int, ...]:
    match = re.match(r"(\d+)\.(\d+)", release)
    return tuple(int(part) for part in match.groups()) if match else (0, 0)


def _arch() -> Fact:
    machine = platform.machine()
    return Fact(
        name="arch",
        ok=machine in seccomp.AUDIT_ARCH,
        value=machine,
        fix="run on x86_64 or aarch64: no system call table exists for others",
    )


def _capabilities(proc: Path) -> Fact:
    if os.geteuid() != 0:
        return Fact(name="cap-sys-admin", ok=True, value="not needed: not started as root")
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", _read(proc / "self/status") or "", re.MULTILINE)
    bits = int(match[1], 16) if match else 0
    ok = all(bits >> cap & 1 for cap in _ROOT_CAPS)
    return Fact(
        name="cap-sys-admin",
        ok=ok,
        value="present" if ok else f"missing (CapEff {bits:#x})",
        fix="start as a plain user, or grant it: docker run --cap-add SYS_ADMIN "
        "--security-opt seccomp=unconfined --security-opt apparmor=unconfined",
    )


def _user_namespaces(proc: Path) -> Fact:
    settings = {
        "user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=15000"),
        "kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        "kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    }
    if not (proc / "self/ns/user").exists():
        return Fact(
            name="user-namespaces", ok=False, value="not built in", fix="use a distribution kernel"
        )
    for name, (off, fix) in settings.items():
        if _read(proc / "sys" / name) == off:
            return Fact(name="user-namespaces", ok=False, value=f"off ({name} = {off})", fix=fix)
    return Fact(name="user-namespaces", ok=True, value="on")


def _bwrap() -> Fact:
    try:
        found = bwrap.find()
    except Refused as error:
        return Fact(name=error.code.removeprefix("isolation-"), ok=False, value=error.message,
                    fix=error.hint)  # fmt: skip
    return Fact(
        name="bwrap", ok=True, value=f"{found.path} {'.'.join(str(n) for n in found.version)}"
    )


def _seccomp(proc: Path) -> Fact:
    actions = _read(proc / "sys/kernel/seccomp/actions_avail") or ""
    ok = {"kill_process", "errno", "allow"} <= set(actions.split())
    return Fact(
        name="seccomp",
        ok=ok,
        value=actions or "absent",
        fix="use a kernel built with CONFIG_SECCOMP_FILTER",
    )


def _cgroup(proc: Path) -> Fact:
    found = limits.find_hierarchies(proc / "self")
    ok = {"memory", "pids"} <= set(found.directories)
    return Fact(
        name="cgroup",
        ok=ok,
        value=f"v{found.version} {'+'.join(sorted(found.directories))}" if ok else "not writable",
        fix="memory is then bounded per process; for the whole box start under: "
        "systemd-run --user --scope -p Delegate=yes",
        needed=False,
    )


def _overlay(proc: Path) -> Fact:
    ok = "overlay" in (_read(proc / "filesystems") or "").split()
    return Fact(
        name="overlay",
        ok=ok,
        value="present" if ok else "absent",
        fix="modprobe overlay; until then workspaces are copied",
        needed=False,
    )


def _idmap() -> Fact:
    ok = os.geteuid() != 0 or _version(platform.release()) >= OVERLAY_IDMAP_KERNEL
    return Fact(
        name="idmapped-overlay",
        ok=ok,
        value="present" if ok else "absent",
        fix="boot a kernel 5.19 or newer; until then workspaces are copied",
        needed=False,
    )


def _landlock() -> Fact:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    return Fact(
        name="landlock",
        ok=version > 0,
        value=f"ABI {version}" if version > 0 else "absent",
        fix="boot with lsm=landlock,... in the kernel command line",
        needed=False,
    )


def facts(proc: Path = Path("/proc")) -> HostFacts:
    """Read the facts of this host. Never raises for a missing one."""
    readers = (
        _kernel,
        _arch,
        lambda: Fact(name="uid", ok=True, value=str(os.geteuid())),
        lambda: _capabilities(proc),
        lambda: _user_namespaces(proc),
        _bwrap,
        lambda: _seccomp(proc),
        lambda: _cgroup(proc),
        lambda: _overlay(proc),
        _idmap,
        _landlock,
    )
    return HostFacts(facts=tuple(read() for read in readers))
