"""Reading what a box changed."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import Refused, Unavailable
from ringfence.engine.plan import WorkspacePlan
from ringfence.sandbox import workspace
from ringfence.sandbox.workspace import Bounds, Change, changes, shown

pytestmark = pytest.mark.box

MODES = pytest.mark.parametrize("way", ["overlay", "copy"])
EMPTY_DIR = hashlib.sha256(b"dir\0").hexdigest()


def sha(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def edit(holder: Any, tree: Any) -> Callable[..., dict[tuple[str, str], Change]]:
    """Run a shell script in a box on a tree and give its changes by path."""

    def run(
        script: str, *, copy: bool = False, files: dict[str, str] | None = None, **bounds: int
    ) -> dict[tuple[str, str], Change]:
        for name, text in (files or {}).items():
            path = Path(tree["directory"], name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if holder.identity == "plain":
            for path in Path(tree["directory"]).rglob("*"):
                os.chown(path, 1001, 1001, follow_symlinks=False)
        held = holder.box("/bin/sh", "-c", script, workspace=tree, copy=copy)
        assert held["code"] == 0, held
        found = changes(
            Path(tree["directory"]),
            Path(tree["layer"]),
            bounds=Bounds(**bounds) if bounds else None,
        )
        return {(change.path, change.kind): change for change in found}

    return run


@MODES
def test_an_unchanged_tree_has_no_changes(edit: Any, way: str) -> None:
    """Reading, touching and rewriting the same bytes are no change."""
    assert (
        edit(
            "cat readme.txt; touch src/app.py; cp readme.txt x; mv x readme.txt", copy=way == "copy"
        )
        == {}
    )


@MODES
def test_contents_modes_links_and_deletions_are_seen(edit: Any, way: str) -> None:
    """Each with its digest before and after."""
    found = edit(
        "echo new > new.txt; echo two > readme.txt; chmod +x src/app.py; ln -s app.py src/link;"
        " mkdir -m 700 d; mkfifo p",
        copy=way == "copy",
    )
    assert found == {
        ("new.txt", "file"): Change(
            path="new.txt", raw="new.txt", kind="file", mode=0o644, size=4, sha256=sha("new\n")
        ),
        ("readme.txt", "file"): Change(
            path="readme.txt", raw="readme.txt", kind="file", mode=0o644, size=4,
            sha256=sha("two\n"), before_sha256=sha("read me\n"),
        ),
        ("src/app.py", "file"): Change(
            path="src/app.py", raw="src/app.py", kind="file", mode=0o755, size=13,
            sha256=sha("print('one')\n"), before_sha256=sha("print('one')\n"),
        ),
        ("src/link", "symlink"): Change(
            path="src/link", raw="src/link", kind="symlink", mode=0o777, target="app.py",
            sha256=hashlib.sha256(b"symlink\0app.py").hexdigest(),
        ),
        ("d", "dir"): Change(path="d", raw="d", kind="dir", mode=0o700),
        ("p", "fifo"): Change(path="p", raw="p", kind="fifo", mode=0o644),
    }  # fmt: skip


@MODES
def test_a_deleted_directory_shows_each_file(edit: Any, way: str) -> None:
    """So a control file in it cannot vanish under its parent's name, and contents come first."""
    found = edit("rm -r .git", copy=way == "copy", files={".git/config": "c", ".git/hooks/x": "x"})
    assert list(found) == [
        (".git/config", "deleted"), (".git/hooks/x", "deleted"), (".git/hooks", "deleted"),
        (".git", "deleted"),
    ]  # fmt: skip
    assert found[".git/config", "deleted"].before_sha256 == sha("c")


@MODES
def test_renaming_a_parent_and_making_it_anew_hides_nothing(edit: Any, way: str) -> None:
    """Every file under both names is seen."""
    found = edit(
        "mv .git old; mkdir -p .git/hooks; echo evil > .git/hooks/x; echo c > .git/config",
        copy=way == "copy",
        files={".git/config": "c\n", ".git/hooks/x": "x"},
    )
    assert found[".git/hooks/x", "file"].before_sha256 == sha("x")
    assert (".git/config", "file") not in found
    assert {path for path, kind in found if kind == "file"} == {
        ".git/hooks/x", "old/config", "old/hooks/x",
    }  # fmt: skip


@MODES
def test_a_path_that_changes_its_nature_is_deleted_and_made(edit: Any, way: str) -> None:
    """File to directory and back are two changes each."""
    found = edit(
        "rm readme.txt; mkdir readme.txt; echo a > readme.txt/a; rm -r src; echo s > src",
        copy=way == "copy",
    )
    assert list(found) == [
        ("readme.txt", "deleted"), ("src/app.py", "deleted"), ("src", "deleted"),
        ("readme.txt", "dir"), ("readme.txt/a", "file"), ("src", "file"),
    ]  # fmt: skip
    assert found["src", "file"].before_sha256 is None


@MODES
def test_a_file_through_a_link_is_reported_where_it_is(edit: Any, way: str) -> None:
    """A link to a directory does not hide what was written through it."""
    found = edit(
        "ln -s .git g; echo evil > g/config", copy=way == "copy", files={".git/config": "c"}
    )
    assert set(found) == {("g", "symlink"), (".git/config", "file")}


def test_a_copy_does_not_undo_what_the_host_changed_meanwhile(holder: Any, tree: Any) -> None:
    """What the agent left alone is no change, whatever the host did to it since."""
    assert holder.box("/bin/true", workspace=tree, copy=True)["code"] == 0
    Path(tree["directory"], "readme.txt").write_text("the user's\n")
    Path(tree["directory"], "fresh.txt").write_text("the user's\n")
    assert changes(Path(tree["directory"]), Path(tree["layer"])) == ()


def test_odd_names_are_safe_text_and_stay_apart(edit: Any) -> None:
    """Newline, escape, backslash and undecodable bytes."""
    found = edit(
        "touch \"$(printf 'a\\nb')\" \"$(printf 'a\\033[2Jb')\" 'a\\\\nb' \"$(printf 'a\\377b')\""
        " \"$(printf 'a\\342\\200\\256b')\" \"$(printf 'caf\\303\\251')\""
        " \"$(printf 'cafe\\314\\201')\""
    )
    paths = [path for path, _ in found]
    assert len(set(paths)) == 7
    assert all("\n" not in p and "\x1b" not in p and "\u202e" not in p for p in paths)
    assert "a\\u{a}b" in paths
    assert "a\\xffb" in paths
    assert all(path.encode() for path in paths)


@pytest.mark.parametrize(
    ("script", "bounds"),
    [
        ("seq 40 | xargs touch", {"entries": 20}),
        ("head -c 5000 /dev/zero > big", {"total_bytes": 4000}),
        ("mkdir -p a/b/c/d/e/f", {"depth": 3}),
        ("rm -r many", {"entries": 20}),
    ],
)
def test_over_a_bound_there_is_no_answer(edit: Any, script: str, bounds: dict[str, int]) -> None:
    """Nothing is merged rather than a part."""
    many = {f"many/{i}": "x" for i in range(40)}
    with pytest.raises(Refused) as refused:
        edit(script, files=many if "many" in script else None, **bounds)
    assert refused.value.code == "workspace-over-bound"


def test_what_the_owner_cannot_read_is_reported(edit: Any, holder: Any) -> None:
    """Mode 000 is no hiding place: as a user it is unreadable, as root it is a file."""
    found = edit("echo x > f; chmod 000 f; mkdir d; chmod 000 d")
    kinds = {path: kind for path, kind in found if path == "f"}
    assert kinds["f"] in {"unreadable", "file"}


def test_a_layer_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """The world failed, not the agent."""
    with pytest.raises(Unavailable):
        changes(tmp_path, tmp_path / "none")


@pytest.mark.only_root("trusted attributes are root's")
def test_marks_we_never_write_are_refused(tmp_path: Path) -> None:
    """A redirect would make names mean other directories."""
    (tmp_path / "layer/upper").mkdir(parents=True)
    os.setxattr(tmp_path / "layer/upper", "trusted.overlay.redirect", b"/etc")
    with pytest.raises(Refused) as refused:
        changes(tmp_path, tmp_path / "layer")
    assert refused.value.code == "workspace-layer-unknown"


def test_a_copy_takes_no_special_file_and_no_bits_along(tmp_path: Path) -> None:
    """Sockets, fifos and devices stay; setuid is dropped; links stay links."""
    host = tmp_path / "host"
    host.mkdir()
    os.mkfifo(host / "fifo")
    (host / "s").write_text("x")
    (host / "s").chmod(0o4755)
    (host / "l").symlink_to("/etc/passwd")
    plan = WorkspacePlan(directory=str(host), target="/work", access="write",
                         layer=str(tmp_path / "layer"))  # fmt: skip
    tree = workspace.copy_tree(plan, os.geteuid(), os.getegid())
    assert sorted(os.listdir(tree)) == ["l", "s"]
    assert (tree / "s").stat().st_mode & 0o7777 == 0o755
    assert os.readlink(tree / "l") == "/etc/passwd"
    with pytest.raises(Refused) as refused:
        workspace.copy_tree(plan, os.geteuid(), os.getegid())
    assert refused.value.code == "layer-in-use"


@pytest.mark.parametrize("bounds", [Bounds(entries=2), Bounds(total_bytes=10), Bounds(depth=0)])
def test_a_copy_is_bounded(tmp_path: Path, bounds: Bounds) -> None:
    """A tree too large to copy is refused."""
    host = tmp_path / "host"
    (host / "a/b").mkdir(parents=True)
    for i in range(3):
        (host / f"f{i}").write_text("x" * 10)
    plan = WorkspacePlan(directory=str(host), target="/work", access="write",
                         layer=str(tmp_path / "layer"))  # fmt: skip
    with pytest.raises(Refused) as refused:
        workspace.copy_tree(plan, os.geteuid(), os.getegid(), bounds=bounds)
    assert refused.value.code == "workspace-over-bound"


def test_a_digest_is_for_one_exact_change() -> None:
    """Any field an approval shows changes it."""
    one = {"path": "a", "raw": "a", "kind": "file", "mode": 0o644, "size": 1, "sha256": "x"}
    others = [{"path": "b"}, {"kind": "dir"}, {"mode": 0o755}, {"size": 2}, {"sha256": "y"},
              {"before_sha256": "z"}, {"target": "t"}]  # fmt: skip
    digests = {Change(**(one | other)).digest for other in [{}, *others]}
    assert len(digests) == len(others) + 1


@given(st.lists(st.text(max_size=12), min_size=2, max_size=2, unique=True))
def test_shown_names_are_printable_and_one_to_one(names: list[str]) -> None:
    """Two names never look alike to the code that compares them."""
    first, second = (shown(name) for name in names)
    assert first != second
    assert first.isprintable()


def test_leaving_by_a_link_is_not_possible(tmp_path: Path) -> None:
    """openat2 stops at links, at dot-dot and at the edge."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").write_text("x")
    (tmp_path / "in/link").symlink_to("../out")
    root = os.open(tmp_path / "in", os.O_RDONLY)
    try:
        for path in ("link", "../out", "/etc/passwd", "a\0b"):
            with pytest.raises(OSError, match=r"link|Invalid"):
                workspace.open_beneath(root, path, os.O_RDONLY)
    finally:
        os.close(root)
        shutil.rmtree(tmp_path / "in")


DEEP = (
    "import os\n"
    "for i in range(1500): os.mkdir('d'); os.chdir('d')\n"
    "open('leaf', 'w').close(); os.chmod('.', 0)\n"
)


def test_a_layer_can_always_be_discarded(holder: Any, tree: Any) -> None:
    """Closed directories and 1500 levels are no obstacle for whoever owns the layer."""
    assert holder.python(DEEP, workspace=tree)["code"] == 0
    with pytest.raises((RecursionError, OSError)):
        shutil.rmtree(Path(tree["layer"]))
    assert holder.ask(do="discard", layer=tree["layer"]) == {"left": False}
    workspace.discard(Path(tree["layer"]))
