"""Finding bubblewrap, and what a plan compiles to."""

import os
from pathlib import Path

import pytest

from ringfence.chain.errors import Refused
from ringfence.engine.plan import BoxLimits, EnvVar, Mount, MountKind, RunPlan, WorkspacePlan
from ringfence.sandbox import bwrap


def plan(**changed: object) -> RunPlan:
    """A small plan with some fields changed."""
    fields: dict = {
        "run": "r", "agent": "a", "attempt": 1, "backend": "native", "level": "L3",
        "argv": ("true",), "cwd": "/work", "terminal": False, "env": (), "mounts": (),
        "workspace": None, "routes": (), "secrets": (), "limits": BoxLimits(),
    }  # fmt: skip
    return RunPlan(**(fields | changed))


def mount(target: str, kind: MountKind = MountKind.READ_ONLY, source: str = "/usr") -> Mount:
    """A mount."""
    return Mount(target=target, kind=kind, source=source, rule="test")


def follows(args: tuple[str, ...], *part: str) -> bool:
    """Say whether the arguments hold this sequence."""
    return any(args[i : i + len(part)] == part for i in range(len(args)))


def test_the_host_has_a_usable_bubblewrap() -> None:
    """It is found without any environment, by its real path."""
    found = bwrap.find()
    assert found.version >= bwrap.OLDEST
    assert Path(found.path).is_file()


def test_a_missing_bubblewrap_says_how_to_get_it(tmp_path: Path) -> None:
    """The refusal names the package."""
    with pytest.raises(Refused) as refused:
        bwrap.find([str(tmp_path)])
    assert refused.value.code == "isolation-bwrap-missing"
    assert "install" in refused.value.hint


def fake(folder: Path, text: str) -> Path:
    """Put a script that answers as bubblewrap into a folder."""
    folder.mkdir()
    script = folder / "bwrap"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return script


def test_a_bubblewrap_others_can_write_is_refused(tmp_path: Path) -> None:
    """The binary or a directory above it in somebody else's hands is no lock."""
    script = fake(tmp_path / "bin", "echo bubblewrap 0.9.0")
    script.chmod(0o757)
    with pytest.raises(Refused) as refused:
        bwrap.find([str(script.parent)])
    assert refused.value.code == "isolation-bwrap-untrusted"


@pytest.mark.only_root("needs a directory of root's below root's alone")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("echo bubblewrap 0.7.9", "isolation-bwrap-old"),
        ("echo something else", "isolation-bwrap-old"),
        ("exit 3", "isolation-bwrap-broken"),
    ],
)
def test_an_old_or_broken_bubblewrap_is_refused(text: str, code: str) -> None:
    """Version and answer are checked."""
    folder = Path("/root") / f"rf-test-{os.getpid()}"
    script = fake(folder, text)
    try:
        with pytest.raises(Refused) as refused:
            bwrap.find([str(folder)])
        assert refused.value.code == code
    finally:
        script.unlink()
        folder.rmdir()


def test_every_lock_is_among_the_arguments() -> None:
    """The list a reviewer would look for."""
    args = bwrap.compile_box(plan(), {}).args
    for part in (
        ("--unshare-user", "--disable-userns"), ("--unshare-ipc",), ("--unshare-uts",),
        ("--die-with-parent",), ("--cap-drop", "ALL"), ("--uid", "1000"), ("--gid", "1000"),
        ("--new-session",), ("--clearenv",), ("--dev-bind", "/.r", "/"),
        ("--remount-ro", "/"), ("--seccomp", "11"), ("--chdir", "/work"),
    ):  # fmt: skip
        assert follows(args, *part), part


def test_a_terminal_box_keeps_its_session() -> None:
    """Only then --new-session is left out: the launcher made the session."""
    assert "--new-session" not in bwrap.compile_box(plan(terminal=True), {}).args


def test_parents_are_mounted_before_children() -> None:
    """The order of the plan cannot re-expose or hide a path."""
    mounts = (mount("/a/b/c"), mount("/a"), mount("/a-b"), mount("/a/b", MountKind.TMPFS))
    image = bwrap.compile_box(plan(mounts=mounts), {}).image
    targets = [line[1] for line in image]
    places = [targets.index(target) for target in ("/a", "/a/b", "/a/b/c")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "target", ["relative", "/", "/proc/x", "/dev/null", "/sys", "/a/../b", "/a\0b", ""]
)
def test_an_impossible_place_is_refused(target: str) -> None:
    """No mount over what the box itself is made of."""
    with pytest.raises(Refused) as refused:
        bwrap.compile_box(plan(mounts=(mount(target),)), {})
    assert refused.value.code == "box-path-invalid"


def test_a_mount_inside_the_workspace_is_refused() -> None:
    """Its mount point would be a change of the agent's."""
    work = WorkspacePlan(directory="/d", target="/tree", access="write", layer="/l")
    with pytest.raises(Refused) as refused:
        bwrap.compile_box(plan(workspace=work, mounts=(mount("/tree/.venv"),)), {})
    assert refused.value.code == "box-path-conflict"


def test_the_workspace_comes_after_the_mounts() -> None:
    """Nothing of the plan can cover it."""
    work = WorkspacePlan(directory="/d", target="/work", access="read", layer="/l")
    image = bwrap.compile_box(plan(workspace=work, mounts=(mount("/opt/x"),)), {}).image
    kinds = [line[0] for line in image]
    assert kinds.index("work") > kinds.index("tree")


def test_a_secret_without_placeholder_is_refused() -> None:
    """A variable never silently stays empty."""
    wanted = plan(env=(EnvVar(name="TOKEN", secret="gh"),))
    with pytest.raises(Refused) as refused:
        bwrap.compile_box(wanted, {})
    assert refused.value.code == "secret-without-placeholder"
    assert follows(bwrap.compile_box(wanted, {"TOKEN": "p"}).args, "--setenv", "TOKEN", "p")


@pytest.mark.parametrize("argv", [(), ("true", "a\0--bind")])
def test_a_nul_cannot_smuggle_an_argument(argv: tuple[str, ...]) -> None:
    """Arguments are separated by NUL in the file: none may hold one."""
    with pytest.raises(Refused) as refused:
        bwrap.compile_box(plan(argv=argv), {})
    assert refused.value.code == "box-argument-invalid"


def test_what_tells_about_the_host_is_masked() -> None:
    """Only what this host's /proc has, and kernel settings always."""
    image = bwrap.compile_box(plan(), {}, proc=frozenset({"keys", "acpi", "uptime"})).image
    masks = {line for line in image if str(line[1]).startswith("/proc")}
    assert masks == {
        ("proc", "/proc"), ("seal", "/proc/sys"), ("blank", "/proc/keys"), ("empty", "/proc/acpi"),
    }  # fmt: skip


def test_links_and_writable_mounts_keep_their_kind() -> None:
    """A link carries its text, a writable mount is writable."""
    mounts = (
        mount("/bin", MountKind.SYMLINK, "usr/bin"),
        mount("/out", MountKind.READ_WRITE, "/host/out"),
    )
    image = bwrap.compile_box(plan(mounts=mounts), {}).image
    assert ("link", "/bin", "usr/bin") in image
    assert ("tree", "/out", "/host/out", "write") in image
