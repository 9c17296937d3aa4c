"""Bubblewrap: finding a binary that can be trusted, and compiling a plan for launcher and it.

Invariants:
1. The binary comes from a fixed directory, belongs to root and nobody else can write it or a
   directory above it; the caller's PATH is never looked at.
2. What is not named by the plan is not in the box: the image starts empty.
3. Values (environment, paths) travel in a memory file, never in ``argv``.
4. `compile_box` is a function of its arguments; it touches nothing.

The launcher builds the image (the box's file tree), because a mount there costs a tenth of what
it costs in bubblewrap; bubblewrap makes the remaining namespaces, enters the image, seals it,
gives up every capability and loads the filter.
"""

import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from ringfence.chain.errors import Refused
from ringfence.engine.plan import Mount, MountKind, RunPlan

FIXED_DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin")
OLDEST = (0, 8)
INNER_ID = 1000
HOME = "/home/agent"
HOSTNAME = "box"
IMAGE = "/.r"

# Descriptors the launcher places, in this order, from its FIRST_FD on.
FD_ARGS, FD_FILTER, FD_STATUS, FD_READY = 10, 11, 12, 13

_INSTALL = "install bubblewrap 0.8 or newer, for example: apt-get install bubblewrap"

# What Docker masks too: it tells about the host and no tool in a box needs it.
_PROC_FILES = (
    "cmdline", "kallsyms", "kcore", "key-users", "keys", "latency_stats", "sched_debug",
    "sysrq-trigger", "timer_list",
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
)
# The last thing bubblewrap does before it seals the tree: the supervisor feeds it over a socket
# and sees from the way it is closed whether the box was built up to here.
READY_FILE = ("/etc/resolv.conf", "# names are resolved by the broker\n")

# One line of the image: what to make, where, and with what (see `launcher.Image`).
Line: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubblewrap:
    """A bubblewrap that may be used."""

    path: str
    version: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSpec:
    """A compiled plan: the lines of the image in order, and bubblewrap's arguments."""

    image: tuple[Line, ...]
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


def _mounts(plan: RunPlan) -> list[Line]:
    """Give the lines of the plan's mounts, parents before children."""
    lines: list[Line] = []
    for mount in sorted(_with_defaults(plan), key=lambda m: _inner(m.target).parts):
        match mount.kind:
            case MountKind.TMPFS:
                mode = 0o1777 if mount.target.endswith("tmp") else 0o700
                lines.append(("tmpfs", mount.target, mount.size_bytes, mode))
            case MountKind.SYMLINK:
                lines.append(("link", mount.target, mount.source))
            case MountKind.READ_ONLY:
                lines.append(("tree", mount.target, mount.source, "read"))
            case MountKind.READ_WRITE:
                lines.append(("tree", mount.target, mount.source, "write"))
    if plan.workspace is not None:
        _apart(plan.mounts, plan.workspace.target)
        lines.append(("work", str(_inner(plan.workspace.target))))
    return lines


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


def _proc(present: frozenset[str]) -> list[Line]:
    """Mount /proc, seal /proc/sys (root could write it even without capabilities), mask leaks."""
    lines: list[Line] = [("proc", "/proc"), ("seal", "/proc/sys")]
    lines += [("blank", f"/proc/{name}") for name in _PROC_FILES if name in present]
    lines += [("empty", f"/proc/{name}") for name in _PROC_TREES if name in present]
    return lines


def compile_box(
    plan: RunPlan, placeholders: Mapping[str, str], *, proc: frozenset[str] = frozenset()
) -> BoxSpec:
    """Compile a plan. ``proc`` holds the names the host's /proc has.

    Raises Refused for a place inside the box that cannot be, for a NUL in a value and for a
    secret without placeholder.
    """
    shm = min(plan.limits.tmp_bytes, plan.limits.memory_bytes)
    image: list[Line] = [
        *_mounts(plan),
        *_proc(proc),
        ("dev", "/dev"),
        ("tmpfs", "/dev/shm", shm, 0o1777),  # noqa: S108 - a place inside the box
        *(("file", path, text) for path, text in FILES),
    ]
    path, _ = READY_FILE
    args = [
        "--unshare-user", "--disable-userns", "--unshare-ipc", "--unshare-uts",
        "--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL",
        "--uid", str(INNER_ID), "--gid", str(INNER_ID), "--hostname", HOSTNAME,
        *([] if plan.terminal else ["--new-session"]),
        "--clearenv", *_environment(plan, placeholders),
        "--dev-bind", IMAGE, "/",
        "--perms", "0444", "--file", str(FD_READY), path,
        "--remount-ro", "/", "--chdir", plan.cwd,
        "--seccomp", str(FD_FILTER), "--json-status-fd", str(FD_STATUS),
    ]  # fmt: skip
    texts = (*args, *plan.argv, *(str(part) for line in image for part in line))
    if any("\0" in text for text in texts) or not plan.argv:
        raise Refused(
            "box-argument-invalid",
            "a command, path or variable of the plan is empty or holds a NUL",
            hint="remove the NUL character",
        )
    return BoxSpec(image=tuple(image), args=tuple(args), command=plan.argv)
