"""Bubblewrap: finding a binary that can be trusted, and compiling a plan into its arguments.

Invariants:
1. The binary comes from a fixed directory, belongs to root and nobody else can write it or a
   directory above it; the caller's PATH is never looked at.
2. What is not named by the plan is not in the box: the tree starts empty.
3. Values (environment, paths) travel in a sealed argument file, never in ``argv``.
4. `compile_box` is a function of its arguments; it touches nothing.
"""

import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ringfence.chain.errors import Refused
from ringfence.engine.plan import Mount, MountKind, RunPlan

FIXED_DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin")
OLDEST = (0, 8)
INNER_ID = 1000
HOME = "/home/agent"
HOSTNAME = "box"

# Descriptors the launcher places, in this order, from its FIRST_FD on.
FD_ARGS, FD_FILTER, FD_STATUS, FD_FILES = 10, 11, 12, 13

_INSTALL = "install bubblewrap 0.8 or newer, for example: apt-get install bubblewrap"

# What Docker masks too: it tells about the host and no tool in a box needs it. The rest of /proc
# needs a capability to say anything, and every bind costs bubblewrap a pass over its mounts.
_PROC_FILES = (
    "cmdline", "kallsyms", "kcore", "key-users", "keys", "latency_stats", "sched_debug",
    "timer_list",
)  # fmt: skip
_PROC_TREES = ("acpi", "asound", "scsi")

FILES: tuple[tuple[str, str], ...] = (
    (
        "/etc/passwd",
        (
            f"agent:x:{INNER_ID}:{INNER_ID}:agent:{HOME}:/bin/sh\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
    ),
    ("/etc/group", f"agent:x:{INNER_ID}:\nnogroup:x:65534:\n"),
    ("/etc/hosts", f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    # The last operation before the tree is sealed: the supervisor feeds it over a socket and
    # sees from the way it is closed whether the box was built up to here.
    ("/etc/resolv.conf", "# names are resolved by the broker\n"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubblewrap:
    """A bubblewrap that may be used."""

    path: str
    version: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSpec:
    """A compiled plan: what the launcher stages (name, host path, how) and bwrap's arguments."""

    stage: tuple[tuple[str, str, str], ...]
    args: tuple[str, ...]
    command: tuple[str, ...]


def find(directories: Sequence[str] = FIXED_DIRECTORIES) -> Bubblewrap:
    """Give the first usable bubblewrap. Raises Refused when there is none."""
    for directory in directories:
        path = Path(directory, "bwrap")
        try:
            found = path.stat()
        except OSError:
            continue
        return _trusted(str(path), found.st_mtime_ns, found.st_ino)
    raise Refused("isolation-bwrap-missing", "bubblewrap is not installed", hint=_INSTALL)


@lru_cache(maxsize=8)
def _trusted(path: str, _mtime: int, _inode: int) -> Bubblewrap:
    real = Path(path).resolve(strict=True)
    for place in (real, *real.parents):
        found = place.stat()
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Refused(
                "isolation-bwrap-untrusted",
                f"{place} can be changed by somebody who is not root",
                hint=f"chown root:root {place} && chmod go-w {place}",
            )
    try:
        text = subprocess.run(
            [str(real), "--version"], capture_output=True, env={}, cwd="/", timeout=10, check=True
        ).stdout.decode("ascii", "replace")
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(
            "isolation-bwrap-broken", f"{path} does not answer: {error}", hint=_INSTALL
        ) from error
    match = re.match(r"bubblewrap (\d+)\.(\d+)", text)
    version = tuple(int(part) for part in match.groups()) if match else (0, 0)
    if version < OLDEST:
        raise Refused(
            "isolation-bwrap-old", f"{path} is version {text.strip()[:40]!r}", hint=_INSTALL
        )
    return Bubblewrap(path=str(real), version=version)


def _inner(path: str) -> PurePosixPath:
    """Check a path inside the box. Raises Refused unless it is absolute and plain."""
    pure = PurePosixPath(path)
    reserved = {"proc", "dev", "sys"}
    if (
        not pure.is_absolute()
        or ".." in pure.parts
        or "\0" in path
        or len(pure.parts) < 2
        or pure.parts[1] in reserved
    ):
        raise Refused(
            "box-path-invalid",
            f"{path!r} cannot be a place inside a box",
            hint="use an absolute path outside /proc, /dev and /sys, without ..",
        )
    return pure


def _mounts(mounts: Sequence[Mount], stage: list[tuple[str, str, str]]) -> list[str]:
    """Give the arguments of the plan's mounts, parents before children."""
    args: list[str] = []
    for mount in sorted(mounts, key=lambda m: _inner(m.target).parts):
        match mount.kind:
            case MountKind.TMPFS:
                args += ["--size", str(mount.size_bytes)] if mount.size_bytes else []
                perms = "1777" if mount.target.endswith("tmp") else "0700"
                args += ["--perms", perms, "--tmpfs", mount.target]
            case MountKind.SYMLINK:
                args += ["--symlink", mount.source, mount.target]
            case MountKind.READ_ONLY | MountKind.READ_WRITE:
                name = f".b/{len(stage)}"
                writes = mount.kind is MountKind.READ_WRITE
                stage.append((name, mount.source, "write" if writes else "read"))
                args += ["--bind" if writes else "--ro-bind", f"/{name}", mount.target]
    return args


def _apart(mounts: Sequence[Mount], workspace: str) -> None:
    """Refuse a mount inside the workspace: its place would appear there as a change."""
    for mount in mounts:
        if PurePosixPath(mount.target).is_relative_to(workspace):
            raise Refused(
                "box-path-conflict",
                f"{mount.target} ({mount.rule}) would stand inside the workspace {workspace}",
                hint="use an installation outside this directory of the host",
            )


def _with_defaults(plan: RunPlan) -> list[Mount]:
    """Add the writable places every box has, sized by the plan, unless the plan names them."""
    named = {mount.target for mount in plan.mounts}
    rule = "box-default"
    return [
        *plan.mounts,
        *(
            Mount(target=t, kind=MountKind.TMPFS, size_bytes=plan.limits.tmp_bytes, rule=rule)
            for t in ("/tmp", HOME, "/var/tmp")  # noqa: S108 - places inside the box
            if t not in named
        ),
    ]


def _environment(plan: RunPlan, placeholders: Mapping[str, str]) -> list[str]:
    args: list[str] = []
    for variable in plan.env:
        value = variable.value
        if variable.secret is not None:
            if variable.name not in placeholders:
                raise Refused(
                    "secret-without-placeholder",
                    f"no placeholder was made for the secret {variable.secret!r}",
                    hint="the plan and the lease disagree; start a new run",
                )
            value = placeholders[variable.name]
        args += ["--setenv", variable.name, value]
    return args


def _proc(present: frozenset[str]) -> list[str]:
    """Mount a fresh /proc, seal /proc/sys (bwrap leaves it writable for root) and mask leaks."""
    args = ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    for name in _PROC_FILES:
        if name in present:
            args += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for name in _PROC_TREES:
        if name in present:
            args += ["--perms", "0555", "--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}"]
    return args


def compile_box(
    plan: RunPlan, placeholders: Mapping[str, str], *, proc: frozenset[str] = frozenset()
) -> BoxSpec:
    """Compile a plan. ``proc`` holds the names the host's /proc has.

    Raises Refused for a place inside the box that cannot be, for a NUL in a value and for a
    secret without placeholder.
    """
    stage: list[tuple[str, str, str]] = []
    args = [
        "--unshare-all", "--share-net", "--unshare-user", "--disable-userns",
        "--die-with-parent", "--cap-drop", "ALL",
        "--uid", str(INNER_ID), "--gid", str(INNER_ID), "--hostname", HOSTNAME,
    ]  # fmt: skip
    args += [] if plan.terminal else ["--new-session"]
    args += ["--clearenv", *_environment(plan, placeholders)]
    args += _mounts(_with_defaults(plan), stage)
    if plan.workspace is not None:
        _apart(plan.mounts, plan.workspace.target)
        bind = "--bind" if plan.workspace.access == "write" else "--ro-bind"
        args += [bind, "/.w", str(_inner(plan.workspace.target))]
    args += _proc(proc)
    shm = str(min(plan.limits.tmp_bytes, plan.limits.memory_bytes))
    args += ["--dev", "/dev", "--size", shm, "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108 - inside
    for index, (path, _) in enumerate(FILES):
        args += ["--perms", "0444", "--file", str(FD_FILES + index), path]
    args += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", plan.cwd]
    args += ["--seccomp", str(FD_FILTER), "--json-status-fd", str(FD_STATUS)]
    if any("\0" in arg for arg in (*args, *plan.argv)) or not plan.argv:
        raise Refused(
            "box-argument-invalid",
            "a command, path or variable of the plan is empty or holds a NUL",
            hint="remove the NUL character",
        )
    return BoxSpec(stage=tuple(stage), args=tuple(args), command=plan.argv)
