"""``ringfence demo``: what it refuses; the attacks themselves are proven in ``tests/replay``."""

from pathlib import Path
from typing import Any

import pytest


def test_an_unknown_attack_is_refused_with_the_list(person: Any) -> None:
    """Exit code 2, and no directory is left behind for it."""
    scratch = Path(person.home) / "tmp"
    scratch.mkdir()
    done = person("demo", "--attack", "s99", env={"TMPDIR": str(scratch)})
    assert done.code == 2
    assert "unknown-attack" in done.err
    assert "s11, s13, s14, s20" in done.err
    assert list(scratch.iterdir()) == []


def test_a_directory_in_use_is_not_written_into(person: Any) -> None:
    """What lies there is somebody's; the name of the new directory is the person's choice."""
    (person.work / "mine").write_text("mine")
    done = person("demo", "--keep", str(person.work))
    assert done.code == 2
    assert "demo-directory-in-use" in done.err
    assert [path.name for path in Path(person.work).iterdir()] == ["mine"]


@pytest.mark.box
def test_everything_is_kept_where_it_was_asked_for(person: Any) -> None:
    """One attack replayed with `--keep`: the servers' logs of both halves can be read there."""
    kept = Path(person.home) / "kept"
    done = person("demo", "--attack", "S13", "--keep", str(kept), "--json")
    assert (done.code, done.json["passed"]) == (0, True), done.out + done.err
    for half in ("off", "on"):
        assert list((kept / half).rglob("*.jsonl"))
