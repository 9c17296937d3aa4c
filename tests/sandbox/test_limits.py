"""Finding control groups, writing limits into them, and doing without."""

import os
import subprocess
from pathlib import Path

import pytest

from ringfence.chain.errors import Refused, Unavailable
from ringfence.engine.plan import BoxLimits
from ringfence.sandbox import limits


def fake_proc(tmp_path: Path, mounts: str, groups: str) -> Path:
    """A /proc/self with two files."""
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "mountinfo").write_text(mounts)
    (proc / "cgroup").write_text(groups)
    return proc


def test_version_1_is_found_at_our_own_place(tmp_path: Path) -> None:
    """The group of this process is translated through a mount that shows only a part."""
    (tmp_path / "memory/mine").mkdir(parents=True)
    (tmp_path / "pids").mkdir()
    proc = fake_proc(
        tmp_path,
        f"30 1 0:1 /docker {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"31 1 0:2 / {tmp_path}/pids rw - cgroup cgroup rw,pids\n"
        "32 1 0:3 / /elsewhere rw - ext4 /dev/x rw\n",
        "5:memory:/docker/mine\n4:pids:/gone\n",
    )
    found = limits.find_hierarchies(proc)
    assert found.version == 1
    assert found.directories == {"memory": tmp_path / "memory/mine", "pids": tmp_path / "pids"}


def test_version_2_is_used_where_the_controllers_are_delegated(tmp_path: Path) -> None:
    """The parent counts too: a group with processes cannot have bounded children."""
    own = tmp_path / "user/scope"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("")
    (tmp_path / "user/cgroup.subtree_control").write_text("cpu memory pids")
    proc = fake_proc(tmp_path, f"30 1 0:1 / {tmp_path} rw - cgroup2 cgroup2 rw\n", "0::/user/scope")
    found = limits.find_hierarchies(proc)
    assert found.version == 2
    assert set(found.directories.values()) == {tmp_path / "user"}


def test_no_control_groups_is_no_error(tmp_path: Path) -> None:
    """Nothing found, nothing promised."""
    assert limits.find_hierarchies(tmp_path / "nowhere").version == 0
    proc = fake_proc(tmp_path, "1 1 0:1 / / rw - ext4 x rw\n", "0::/\n")
    assert limits.find_hierarchies(proc).directories == {}


def test_limits_are_written_as_the_version_wants_them(tmp_path: Path) -> None:
    """Version 2 has other files than version 1."""
    second = limits.Hierarchies(version=2, directories={"memory": tmp_path, "pids": tmp_path})
    (group,) = limits.make_groups("x", second)
    bounds = limits.bound(BoxLimits(memory_bytes=1000, processes=5), "x", second)
    assert (group / "memory.max").read_text() == "1000"
    assert (group / "pids.max").read_text() == "6"
    assert ("memory_bytes", "cgroup v2 memory") in {(e.limit, e.by) for e in bounds.enforced}


def test_without_control_groups_process_limits_say_so() -> None:
    """Memory is then bounded per process, and the report does not claim more."""
    bounds = limits.bound(BoxLimits(), "x", limits.Hierarchies(version=0))
    (memory,) = [e for e in bounds.enforced if e.limit == "memory_bytes"]
    assert (memory.by, memory.whole_box) == ("rlimit", False)


@pytest.mark.parametrize("field", ["memory_bytes", "processes", "wall_seconds", "output_bytes"])
def test_a_limit_that_is_none_is_refused(field: str) -> None:
    """Zero does not mean unlimited."""
    with pytest.raises(Refused) as refused:
        limits.bound(BoxLimits(**{field: 0}), "x", limits.Hierarchies(version=0))
    assert refused.value.code == "isolation-limit"


def test_a_group_that_cannot_be_made_is_no_silent_loss(tmp_path: Path) -> None:
    """Half of the groups made is none made."""
    gone = limits.Hierarchies(
        version=1, directories={"memory": tmp_path, "pids": tmp_path / "x" / "gone"}
    )
    with pytest.raises(Unavailable):
        limits.make_groups("x", gone)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unavailable):
        limits.bound(BoxLimits(), "x", gone)


@pytest.mark.only_root("control groups of this host are root's")
def test_a_group_is_removed_with_what_runs_in_it() -> None:
    """A process left in a group is ended."""
    found = limits.find_hierarchies()
    groups = limits.make_groups(f"{os.getpid()}-t", found)
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        for group in groups:
            (group / "cgroup.procs").write_text(str(sleeper.pid))
        ended = limits.remove(groups)
        sleeper.wait()
    assert ended == (1 if groups else 0) or not found.directories
    assert not any(group.exists() for group in groups)


def test_empty_groups_of_dead_supervisors_are_swept(tmp_path: Path) -> None:
    """Ours stay, and what is not empty stays."""
    for name in (f"ringfence-{os.getpid()}-1-a", "ringfence-99999999-1-a", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "ringfence-99999998-1-a" / "inner").mkdir(parents=True)
    limits.sweep(limits.Hierarchies(version=1, directories={"pids": tmp_path}))
    assert {p.name for p in tmp_path.iterdir()} == {
        f"ringfence-{os.getpid()}-1-a", "other", "ringfence-99999998-1-a",
    }  # fmt: skip
