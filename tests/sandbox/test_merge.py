"""Merging: one approved change at a time, and the whole of scenario S11."""

import dataclasses
import hashlib
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ringfence.chain.errors import Position, Refused, Unavailable
from ringfence.chain.words import Access, Merge, Workspace
from ringfence.policy.control_files import decide_merge
from ringfence.policy.grant import Grant
from ringfence.sandbox.merge import apply
from ringfence.sandbox.workspace import Change, changes

pytestmark = pytest.mark.box


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """A host tree and a layer whose upper directory a test fills."""
    (tmp_path / "host").mkdir()
    (tmp_path / "layer/upper").mkdir(parents=True)
    return tmp_path / "host", tmp_path / "layer"


def only(sides: tuple[Path, Path], path: str) -> Change:
    """Give the change of one path."""
    (found,) = [change for change in changes(*sides) if change.path == path]
    return found


def refused(sides: tuple[Path, Path], change: Change) -> str:
    """Apply a change that must be refused; give the code."""
    host, layer = sides
    with pytest.raises(Refused) as error:
        apply(host, change, layer)
    return error.value.code


def test_a_file_is_merged_with_its_mode(sides: Any) -> None:
    """New and replaced files get exactly the approved bytes; the setuid bit never."""
    host, layer = sides
    (host / "old").write_text("1")
    for name in ("old", "new"):
        (layer / "upper" / name).write_text("2")
        (layer / "upper" / name).chmod(0o755)
    for change in changes(host, layer):
        apply(host, dataclasses.replace(change, mode=change.mode | 0o6000), layer)
    assert {p.name: (p.read_text(), p.stat().st_mode & 0o7777) for p in host.iterdir()} == {
        "old": ("2", 0o755),
        "new": ("2", 0o755),
    }
    assert changes(host, layer) == ()


def test_missing_parents_are_made(sides: Any) -> None:
    """Approving a file in a new directory is enough."""
    host, layer = sides
    (layer / "upper/a/b").mkdir(parents=True)
    (layer / "upper/a/b/c").write_text("x")
    apply(host, only(sides, "a/b/c"), layer)
    assert (host / "a/b/c").read_text() == "x"


def test_links_directories_and_deletions_are_merged(sides: Any) -> None:
    """The other kinds."""
    host, layer = sides
    (host / "gone").write_text("x")
    (host / "full").mkdir()
    (layer / "upper/d").mkdir(mode=0o750)
    (layer / "upper/l").symlink_to("d/x")
    for path in ("d", "l"):
        apply(host, only(sides, path), layer)
    for name in ("gone", "full"):
        state = hashlib.sha256(b"x" if name == "gone" else b"dir\0").hexdigest()
        apply(host, Change(path=name, raw=name, kind="deleted", before_sha256=state), layer)
    assert os.readlink(host / "l") == "d/x"
    assert (host / "d").stat().st_mode & 0o777 == 0o750
    assert sorted(os.listdir(host)) == ["d", "l"]


def test_a_file_the_host_changed_is_a_conflict(sides: Any) -> None:
    """Changed, deleted, newly made: nothing of the user's is overwritten."""
    host, layer = sides
    (host / "f").write_text("1")
    for name in ("f", "n"):
        (layer / "upper" / name).write_text("2")
    change, fresh = only(sides, "f"), only(sides, "n")
    (host / "f").write_text("user")
    (host / "n").write_text("user")
    assert refused(sides, change) == refused(sides, fresh) == "merge-conflict"
    (host / "f").unlink()
    assert refused(sides, change) == "merge-conflict"
    assert (host / "n").read_text() == "user"
    assert os.listdir(host) == ["n"]


def test_a_layer_changed_after_approval_is_refused(sides: Any) -> None:
    """Other bytes, more bytes, or a link in place of the file."""
    host, layer = sides
    source = layer / "upper/f"
    source.write_text("approved")
    change = only(sides, "f")
    for text in ("swapped!", "approved and more", ""):
        source.write_text(text)
        assert refused(sides, change) == "merge-changed"
    source.unlink()
    source.symlink_to("/etc/passwd")
    assert refused(sides, change) == "merge-conflict"
    source.unlink()
    os.mkfifo(source)
    assert refused(sides, change) == "merge-changed"
    assert os.listdir(host) == []


def test_a_link_on_the_host_is_never_followed(sides: Any, tmp_path: Path) -> None:
    """Neither as a parent nor as the file itself; plain writing would follow both."""
    host, layer = sides
    outside = tmp_path / "outside"
    outside.mkdir()
    (layer / "upper/d").mkdir()
    (layer / "upper/d/f").write_text("evil")
    change = only(sides, "d/f")
    (host / "d").symlink_to(outside)
    (host / "d/proof").write_text("a naive write lands outside")
    assert (outside / "proof").exists()
    assert refused(sides, change) == "merge-conflict"
    assert os.listdir(outside) == ["proof"]


@pytest.mark.parametrize("raw", ["../x", "/etc/x", "a/../x", "", "a//b", "a\0b", "."])
def test_a_path_that_is_none_is_refused(sides: Any, raw: str) -> None:
    """Even if somebody built such a change."""
    assert refused(sides, Change(path="p", raw=raw, kind="dir", mode=0o755)) == "unsafe-path"


@pytest.mark.parametrize("kind", ["device", "fifo", "socket", "unreadable"])
def test_a_special_file_is_refused(sides: Any, kind: str) -> None:
    """Approved or not."""
    assert refused(sides, Change(path="p", raw="p", kind=kind)) == "unsafe-file-kind"


def test_a_directory_that_is_not_empty_is_not_deleted(sides: Any) -> None:
    """A file the user made in it meanwhile stays."""
    host, _ = sides
    (host / "d").mkdir()
    (host / "d/user").write_text("x")
    state = hashlib.sha256(b"dir\0").hexdigest()
    change = Change(path="d", raw="d", kind="deleted", before_sha256=state)
    assert refused(sides, change) == "merge-conflict"


def test_a_tree_that_is_gone_is_a_conflict(sides: Any, tmp_path: Path) -> None:
    """No tree, no merge."""
    with pytest.raises((Refused, Unavailable)):
        apply(tmp_path / "gone", Change(path="p", raw="p", kind="dir", mode=0o755), sides[1])


@pytest.mark.only_root("only root can give files away")
def test_the_owner_of_the_tree_keeps_it(sides: Any) -> None:
    """As root: a replaced file keeps its owner, a new one gets its directory's."""
    host, layer = sides
    (host / "old").write_text("1")
    os.chown(host, 1001, 1001)
    os.chown(host / "old", 1002, 1002)
    (layer / "upper/old").write_text("2")
    (layer / "upper/d").mkdir()
    (layer / "upper/d/new").write_text("2")
    (layer / "upper/l").symlink_to("old")
    for change in changes(host, layer):
        apply(host, change, layer)
    owners = {p.name: p.lstat().st_uid for p in host.rglob("*")}
    assert owners == {"old": 1002, "d": 1001, "new": 1001, "l": 1001}


# --- S11: write-back of control files ---

TARGETS = {
    ".git/hooks/post-checkout": None,
    ".git/hooks/pre-commit": "#!/bin/sh\n",
    ".git/config": "[core]\n",
    ".github/workflows/ci.yml": "on: push\n",
    ".gitlab-ci.yml": None,
    ".claude/settings.json": "{}\n",
    ".cursor/mcp.json": None,
    ".mcp.json": "{}\n",
    ".kiro/steering/a.md": None,
    ".vscode/tasks.json": "{}\n",
    "AGENTS.md": "be good\n",
    "CLAUDE.md": None,
    "package.json": "{}\n",
    "evil.pth": None,
    ".bashrc": None,
    "CODEOWNERS": "* @a\n",
    "ringfence.yaml": "name: x\n",
    "chain.yaml": "name: y\n",
}

WAYS = {
    "write": 'mkdir -p "$(dirname $T)"; echo evil > $T',
    "append": 'mkdir -p "$(dirname $T)"; echo evil >> $T',
    "rename-over": 'mkdir -p "$(dirname $T)"; echo evil > src/x; mv src/x $T',
    "hardlink": 'mkdir -p "$(dirname $T)"; echo evil > src/x; rm -f $T; ln src/x $T; rm src/x',
    "through-a-link": 'mkdir -p "$(dirname $T)"; ln -s "$(dirname $T)" src/l;'
    " echo evil > src/l/$(basename $T)",
    "replace-by-link": 'mkdir -p "$(dirname $T)"; rm -f $T; ln -s /tmp/evil $T',
    "replace-by-inner-link": 'mkdir -p "$(dirname $T)"; rm -f $T; ln -s app.py $T',
    "rename-the-parent": 'D="$(dirname $T)"; [ "$D" = . ] || mv "$D" src/old 2>/dev/null;'
    ' mkdir -p "$D"; echo evil > $T',
    "upper-case": 'U="$(echo $T | tr a-z A-Z)"; mkdir -p "$(dirname $U)"; echo evil > $U',
    "trailing-dot": 'mkdir -p "$(dirname $T)"; echo evil > "$T."',
    "trailing-space": 'mkdir -p "$(dirname $T)"; echo evil > "$T "',
    "nested": 'mkdir -p "vendor/a/$(dirname $T)"; echo evil > "vendor/a/$T"',
    "tar": 'mkdir -p "/tmp/t/$(dirname $T)"; echo evil > "/tmp/t/$T";'
    " tar cf - -C /tmp/t . | tar xf -",
    "make-executable": 'mkdir -p "$(dirname $T)"; [ -e $T ] || echo evil > $T; chmod 777 $T',
    "delete": "rm -f $T",
    "git-config": "git init -q . 2>/dev/null; git config core.hooksPath /tmp;"
    " echo evil > $T 2>/dev/null || true",
}


def merge_all(directory: Path, layer: Path) -> dict[str, str]:
    """Do what the runner does under merge: auto, without any approval; give rule by path."""
    where = Position(file="chain.yaml", line=1, column=1)
    work = Workspace(directory=".", access=Access.WRITE, where=where)
    grant = Grant(
        run="r", agent="a", until=datetime(2030, 1, 1, tzinfo=UTC), emits=(), network=(),
        secrets=(), env={}, workspace=work, merge=Merge.AUTO, isolation="L3",
    )  # fmt: skip
    rules = {}
    for change in changes(directory, layer):
        decision = decide_merge(change.effect, grant)
        rules[change.path] = decision.rule
        if decision.allowed:
            apply(directory, change, layer)
    return rules


def picture(directory: Path) -> dict[str, tuple[int, str]]:
    """Every file and link with mode and contents."""
    found = {}
    for path in sorted(directory.rglob("*")):
        info = path.lstat()
        text = (
            os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        )
        if not path.is_dir() or path.is_symlink():
            found[str(path.relative_to(directory))] = (info.st_mode, text)
    return found


@pytest.fixture
def repository(holder: Any, tree: Any) -> Path:
    """The work tree with some of the targets present."""
    directory = Path(tree["directory"])
    for name, text in TARGETS.items():
        if text is not None:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
    if holder.identity == "plain":
        for path in directory.rglob("*"):
            os.chown(path, 1001, 1001)
    return directory


@pytest.mark.parametrize("way", WAYS)
def test_no_control_file_comes_back_unseen(
    holder: Any, tree: Any, repository: Path, way: str
) -> None:
    """Every target in one way: only the benign line arrives; without the rule evil would too."""
    script = "\n".join(f"T={target}; {WAYS[way]}" for target in TARGETS)
    script += "\necho \"print('two')\" > src/app.py; rm -f src/x src/l; rm -rf src/old"
    expected = picture(repository) | {"src/app.py": (0o100644, "print('two')\n")}
    held = holder.box("/bin/sh", "-c", script + "\ntrue", workspace=tree)
    assert held["code"] == 0, held
    attacked = [c for c in changes(repository, Path(tree["layer"])) if c.path != "src/app.py"]
    assert attacked, "the attack changed nothing: the scenario is void"
    rules = merge_all(repository, Path(tree["layer"]))
    assert picture(repository) == expected
    assert rules.pop("src/app.py") == "merge-auto"
    held_back = {"control-file", "unsafe-link"}
    assert {path for path, rule in rules.items() if rule not in held_back} <= {"vendor", "vendor/a"}


def test_an_approved_control_file_is_merged_exactly(
    holder: Any, tree: Any, repository: Path
) -> None:
    """A person's yes to one digest brings one file and nothing else; after the fact, a conflict."""
    holder.box(
        "/bin/sh", "-c", "echo fine > AGENTS.md; echo evil > CLAUDE.md", workspace=tree
    )  # fmt: skip
    layer = Path(tree["layer"])
    (approved,) = [c for c in changes(repository, layer) if c.path == "AGENTS.md"]
    expected = picture(repository) | {"AGENTS.md": (0o100644, "fine\n")}
    apply(repository, approved, layer)
    assert picture(repository) == expected
    with pytest.raises(Refused):
        apply(repository, approved, layer)


def test_nothing_runs_on_the_host_while_merging(holder: Any, tree: Any, repository: Path) -> None:
    """A hook, filter or fsmonitor of a hostile .git leaves no trace; git itself would run it."""
    marker = holder.place / "data" / f"ran-{os.urandom(4).hex()}"
    script = f"#!/bin/sh\ntouch {marker}\n"
    git = ["git", "-C", str(repository), "-c", "safe.directory=*"]
    subprocess.run([*git, "init", "-q"], check=True, env={"HOME": "/nonexistent"})
    hook = repository / ".git/hooks/post-checkout"
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text(script)
    hook.chmod(0o755)
    (repository / ".git/config").write_text(f"[core]\n\tfsmonitor = {hook}\n\tbare = false\n")
    subprocess.run([*git, "status"], check=False, capture_output=True, env={"HOME": "/nonexistent"})
    assert marker.exists(), "guard-off: git runs it"
    marker.unlink()
    if holder.identity == "plain":
        for path in repository.rglob("*"):
            os.chown(path, 1001, 1001)
    holder.box(
        "/bin/sh", "-c", "echo '* filter=x' > .gitattributes; echo 1 > src/app.py", workspace=tree
    )
    merge_all(repository, Path(tree["layer"]))
    assert (repository / "src/app.py").read_text() == "1\n"
    assert not marker.exists()
