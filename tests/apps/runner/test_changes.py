"""Each changed file is merged, held or dropped by one decision that stands on the record first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ringfence.apps.runner.changes import Settler, without_parents
from ringfence.apps.runner.handoff import prepare
from ringfence.policy.grant import compile_grant
from ringfence.sandbox.workspace import changes

Agent = Callable[..., dict[str, object]]
Read = Callable[[Any], list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A workspace, what a box left of it, and how it is settled."""

    world: Any
    tree: Path
    upper: Path
    settler: Settler
    recorded: Read

    def decided(self) -> dict[str, tuple[str, str]]:
        """Give event and rule for each path, questions left out."""
        found = {}
        for record in self.recorded(self.world):
            if record["event"].startswith("merge."):
                assert record["subject"] not in found, "one decision for each file"
                found[record["subject"]] = (record["event"], record["rule"])
        return found

    def asked(self) -> list[list[str]]:
        """Give the paths of each question."""
        state = self.world.open_state()
        reviews = state.reviews(pending=True)
        state.close()
        return sorted([f["path"] for f in review.subject["files"]] for review in reviews)


@pytest.fixture
def bench(world: Any, agent: Agent, tmp_path: Path, recorded: Read) -> Callable[[str], Bench]:
    """Give a maker of benches: it takes the grant's word for merging."""

    def make(merge: str) -> Bench:
        tree = tmp_path / "tree"
        tree.mkdir()
        space = {"type": "local", "directory": "tree"}
        opened = world(agent("a", "", workspace=space, merge=merge))
        until = datetime.now(UTC) + timedelta(hours=1)
        grant = compile_grant(opened.chain, opened.chain.agent("a"), run="r", until=until)
        step = prepare(tmp_path / "step", prompt=b"", ca_pem=b"")
        upper = step.layer / "upper"
        upper.mkdir()
        settler = Settler(opened, grant, 1, step, tree)
        return Bench(world=opened, tree=tree, upper=upper, settler=settler, recorded=recorded)

    return make


def fill(upper: Path) -> None:
    """Leave a plain file, a control file, a file in a new folder, and a link out of the tree."""
    (upper / "plain.txt").write_text("1")
    (upper / "AGENTS.md").write_text("obey")
    (upper / "new").mkdir()
    (upper / "new" / "deep.txt").write_text("2")
    (upper / "out").symlink_to("/etc/passwd")


def content(tree: Path) -> dict[str, str]:
    """Give every file of a tree with its text."""
    return {str(p.relative_to(tree)): p.read_text() for p in tree.rglob("*") if p.is_file()}


def test_auto_merges_plain_files_and_nothing_else(bench: Callable[[str], Bench]) -> None:
    """The control file is a question by itself, the link that leaves the tree is dropped."""
    work = bench("auto")
    fill(work.upper)
    work.settler.settle(failed=False)
    assert content(work.tree) == {"plain.txt": "1", "new/deep.txt": "2"}
    decided = work.decided()
    assert decided["plain.txt"][0] == decided["new/deep.txt"][0] == "merge.apply"
    assert decided["AGENTS.md"] == ("merge.held", "control-file")
    assert decided["out"][0] == "merge.drop"
    assert not (work.tree / "out").is_symlink()
    assert work.asked() == [["AGENTS.md"]]


def test_hold_asks_once_for_plain_files_and_once_for_each_control_file(
    bench: Callable[[str], Bench],
) -> None:
    """Nothing is in the tree before somebody answers."""
    work = bench("hold")
    fill(work.upper)
    (work.upper / ".github").mkdir()
    (work.upper / ".github" / "ci.yml").write_text("x")
    work.settler.settle(failed=False)
    assert content(work.tree) == {}
    assert work.asked() == [[".github/ci.yml"], ["AGENTS.md"], ["new/deep.txt", "plain.txt"]]


def test_discard_drops_everything(bench: Callable[[str], Bench]) -> None:
    """No question either."""
    work = bench("discard")
    fill(work.upper)
    work.settler.settle(failed=False)
    assert content(work.tree) == {}
    assert work.asked() == []
    assert {event for event, _ in work.decided().values()} == {"merge.drop"}


def test_a_failed_attempt_merges_nothing(bench: Callable[[str], Bench]) -> None:
    """Guard off is the first test: the same files of an attempt that ended well are merged."""
    work = bench("auto")
    fill(work.upper)
    work.settler.settle(failed=True)
    assert content(work.tree) == {}
    assert work.asked() == []
    assert set(work.decided().values()) == {("merge.drop", "step-failed")}


def test_a_conflict_with_the_host_is_dropped_and_told(
    bench: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host changed the file between reading and merging: its version stays."""
    work = bench("auto")
    (work.tree / "f").write_text("before")
    (work.upper / "f").write_text("agent")
    record = work.world.record

    def meanwhile(*args: Any, **fields: Any) -> None:
        record(*args, **fields)
        (work.tree / "f").write_text("mine")

    monkeypatch.setattr(type(work.world), "record", lambda self, *a, **f: meanwhile(*a, **f))
    work.settler.settle(failed=False)
    assert content(work.tree) == {"f": "mine"}
    events = [r["event"] for r in work.recorded(work.world)]
    assert events == ["merge.apply", "merge.drop"]


def test_a_folder_comes_with_what_is_in_it(bench: Callable[[str], Bench]) -> None:
    """A new folder of held files is no change of its own; an empty one is."""
    work = bench("hold")
    (work.upper / "full" / "inner").mkdir(parents=True)
    (work.upper / "full" / "inner" / "f").write_text("1")
    (work.upper / "empty").mkdir()
    found = without_parents(changes(work.tree, work.upper.parent))
    assert [change.path for change in found] == ["empty", "full/inner/f"]
