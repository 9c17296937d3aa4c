"""``ringfence doctor`` answers with its exit code, and says the same to programs and people."""

import json
import os
import subprocess
from typing import Any

import pytest

from ringfence.sandbox.bwrap import find


@pytest.mark.box
def test_it_says_whether_a_box_can_start(person: Any) -> None:
    """On a host that runs this suite: yes, and a box does start."""
    done = person("doctor", "--json")
    assert (done.code, done.json["can_box"], done.json["version"]) == (0, True, 1), done.out
    assert person("exec", "--", "true").code == 0


def test_both_forms_name_the_same_facts(person: Any) -> None:
    """Every fact of the JSON is a line of the table, with its state."""
    facts = person("doctor", "--json").json["facts"]
    table = person("doctor").out.splitlines()
    assert len(table) == len(facts) + 1
    for line, fact in zip(table[1:], facts, strict=True):
        name, state = line.split()[:2]
        assert name == fact["name"]
        assert (state == "ok") == fact["ok"]


@pytest.mark.box
def test_without_bubblewrap_nothing_starts(person: Any) -> None:
    """Doctor exits with 1 and the fix, exec is refused with 4; guard off: with it both are 0."""
    hide = 'mount --bind /dev/null "$0" && exec "$@"'
    namespace = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-Urm")
    codes = []
    for command in (("doctor", "--json"), ("exec", "--", "true")):
        with_it = person(*command)
        assert with_it.code == 0, with_it.err
        without = subprocess.run(
            [*namespace, "sh", "-c", hide, find().path, *person.command(*command)],
            capture_output=True, text=True, cwd=person.work, timeout=60, check=False,
        )  # fmt: skip
        codes.append(without.returncode)
        if command[0] == "doctor":
            missing = [
                f for f in json.loads(without.stdout)["facts"] if not f["ok"] and f["needed"]
            ]
            assert [f["name"].split("-")[0] for f in missing] == ["bwrap"]
            assert missing[0]["fix"]
    assert codes == [1, 4], without.stderr
