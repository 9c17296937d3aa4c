"""The bounds of a box: which of them this host enforces, and by what.

Invariants:
1. Every number of `BoxLimits` is enforced by something that is named, or the box is refused.
2. A control group is used where this process may make one (version 1 or 2); else process limits.
3. What a control group cannot be had for is bounded per process, and says so.

``wall_seconds`` and ``output_bytes`` are enforced by whoever waits for the box and reads its
output: the supervisor. The size of the copy-on-write layer on disk is bounded per file only.
"""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from ringfence.chain.errors import Refused, Unavailable
from ringfence.engine.plan import BoxLimits

PREFIX = "ringfence-"
OWN_PROCESSES = 1  # bubblewrap, process 1 of the box, counts too
REMOVE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """One limit, what holds it, and whether for the box as a whole or for each process."""

    limit: str
    value: int
    by: str
    whole_box: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """Where this process may make control groups: controller name -> directory; version."""

    version: int
    directories: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The bounds of one box: process limits to set, and what enforces which limit."""

    rlimits: tuple[tuple[int, int], ...] = ()
    enforced: tuple[Enforced, ...] = ()


def _unescape(text: str) -> str:
    return text.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")


def find_hierarchies(proc: Path = Path("/proc/self")) -> Hierarchies:
    """Find where control groups can be made. Empty when nowhere; never raises for that."""
    try:
        mounts = (proc / "mountinfo").read_text()
        groups = (proc / "cgroup").read_text()
    except OSError:
        return Hierarchies(version=0)
    own: dict[str, str] = {}
    for line in groups.splitlines():
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.split(","), path)
    first: dict[str, Path] = {}
    second: Path | None = None
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        root, point = (_unescape(part) for part in left.split(" ")[3:5])
        if kind == "cgroup":
            for name in {"memory", "pids"} & set(options.split(",")):
                first[name] = _place(Path(point), root, own.get(name, "/"))
        elif kind == "cgroup2":
            second = _place(Path(point), root, own.get("", "/"))
    if second is not None:
        for place in (second, second.parent):
            if _controls(place) >= {"memory", "pids"} and os.access(place, os.W_OK):
                return Hierarchies(version=2, directories={"memory": place, "pids": place})
    usable = {name: place for name, place in first.items() if os.access(place, os.W_OK)}
    return Hierarchies(version=1 if usable else 0, directories=usable)


def _place(point: Path, root: str, own: str) -> Path:
    """Translate a group's path into the file tree; the mount may show only a part of it."""
    relative = own[len(root) :] if root != "/" and own.startswith(root) else own
    place = point / relative.lstrip("/")
    return place if place.is_dir() else point


def _controls(place: Path) -> set[str]:
    try:
        return set((place / "cgroup.subtree_control").read_text().split())
    except OSError:
        return set()


def _settings(
    version: int, controller: str, limits: BoxLimits
) -> tuple[tuple[str, int, bool], ...]:
    """Give the files to write for a controller: name, value, and whether it must exist."""
    if controller == "pids":
        return (("pids.max", limits.processes + OWN_PROCESSES, True),)
    if version == 1:
        return (
            ("memory.limit_in_bytes", limits.memory_bytes, True),
            ("memory.memsw.limit_in_bytes", limits.memory_bytes, False),
        )
    return (("memory.max", limits.memory_bytes, True), ("memory.swap.max", 0, False))


def make_groups(name: str, hierarchies: Hierarchies) -> tuple[Path, ...]:
    """Make the control groups of one box, still without bounds.

    Raises Unavailable when one cannot be made although the host has them.
    """
    groups: list[Path] = []
    for parent in sorted(set(hierarchies.directories.values())):
        group = parent / f"{PREFIX}{name}"
        try:
            group.mkdir()
        except OSError as error:
            remove(groups)
            raise _broken(group, error) from error
        groups.append(group)
    return tuple(groups)


def _broken(group: Path, error: OSError) -> Unavailable:
    return Unavailable(
        "isolation-cgroup",
        f"the control group {group} cannot be set up: {error.strerror}",
        hint="see ringfence doctor, section cgroup",
    )


def bound(limits: BoxLimits, name: str, hierarchies: Hierarchies) -> Bounds:
    """Write a box's limits into its groups and give the process limits that go with them.

    Raises Refused for a limit that is not a positive number, Unavailable when the host's control
    groups do not take it.
    """
    for item in fields(limits):
        value = getattr(limits, item.name)
        if not isinstance(value, int) or value <= 0:
            raise Refused(
                "isolation-limit",
                f"{item.name} = {value!r} cannot be enforced",
                hint="give a positive number",
            )
    enforced: list[Enforced] = []
    for controller, parent in sorted(hierarchies.directories.items()):
        group = parent / f"{PREFIX}{name}"
        try:
            for file, value, required in _settings(hierarchies.version, controller, limits):
                if required or (group / file).exists():
                    (group / file).write_text(str(value))
        except OSError as error:
            raise _broken(group, error) from error
        limit = "processes" if controller == "pids" else "memory_bytes"
        enforced.append(
            Enforced(
                limit=limit,
                value=getattr(limits, limit),
                by=f"cgroup v{hierarchies.version} {controller}",
                whole_box=True,
            )
        )
    rlimits, per_process = _process_limits(limits, {item.limit for item in enforced})
    return Bounds(rlimits=rlimits, enforced=(*enforced, *per_process))


def _process_limits(
    limits: BoxLimits, held: set[str]
) -> tuple[tuple[tuple[int, int], ...], list[Enforced]]:
    """Give the process limits (never above what this process may set) and what they enforce."""
    table = [
        ("open_files", resource.RLIMIT_NOFILE, limits.open_files, False),
        ("file_bytes", resource.RLIMIT_FSIZE, limits.file_bytes, False),
        ("cpu_seconds", resource.RLIMIT_CPU, limits.cpu_seconds, False),
        # Counted per uid and user namespace, so for this box alone, as root and as a plain user.
        ("processes", resource.RLIMIT_NPROC, limits.processes + OWN_PROCESSES, True),
    ]
    if "memory_bytes" not in held:
        table.append(("memory_bytes", resource.RLIMIT_DATA, limits.memory_bytes, False))
    rlimits = [(resource.RLIMIT_CORE, 0)]
    enforced = []
    for limit, number, value, whole_box in table:
        hard = resource.getrlimit(number)[1]
        rlimits.append((number, value if hard == resource.RLIM_INFINITY else min(value, hard)))
        if limit not in held:
            enforced.append(
                Enforced(
                    limit=limit, value=getattr(limits, limit), by="rlimit", whole_box=whole_box
                )
            )
    enforced.append(
        Enforced(limit="tmp_bytes", value=limits.tmp_bytes, by="tmpfs size", whole_box=False)
    )
    enforced += [
        Enforced(limit=limit, value=getattr(limits, limit), by="supervisor", whole_box=True)
        for limit in ("wall_seconds", "output_bytes")
    ]
    return tuple(rlimits), enforced


def remove(groups: list[Path] | tuple[Path, ...]) -> int:
    """End what still runs in the groups and remove them; give the number of processes ended.

    Raises Unavailable when a group is still busy after two seconds.
    """
    ended: set[int] = set()
    until = time.monotonic() + REMOVE_SECONDS
    for group in groups:
        while group.is_dir():
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            for text in _members(group):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int(text), signal.SIGKILL)
                    ended.add(int(text))
            if time.monotonic() > until:
                raise Unavailable("isolation-cgroup-busy", f"{group} cannot be removed")
            time.sleep(0.002)
    return len(ended)


def sweep(hierarchies: Hierarchies) -> None:
    """Remove the empty groups of supervisors that were killed. Never ends a process."""
    for parent in set(hierarchies.directories.values()):
        for group in parent.glob(f"{PREFIX}*"):
            owner = group.name.removeprefix(PREFIX).partition("-")[0]
            if not Path("/proc", owner).exists():
                with contextlib.suppress(OSError):
                    group.rmdir()


def _members(group: Path) -> list[str]:
    try:
        return (group / "cgroup.procs").read_text().split()
    except OSError:
        return []
