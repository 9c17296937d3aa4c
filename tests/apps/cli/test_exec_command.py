"""``ringfence exec`` end to end: one command in a box, its exit code and output passed through."""

import json
from pathlib import Path
from typing import Any

import pytest

from ringfence.apps.cli.exec_command import chain_of_one
from ringfence.apps.load import load

pytestmark = pytest.mark.box


def held(person: Any) -> list[dict[str, Any]]:
    """Give the reviews that wait."""
    body: dict[str, list[dict[str, Any]]] = person("review", "list", "--json").json
    return body["reviews"]


def test_exit_code_and_output_are_the_commands_own(person: Any) -> None:
    """Standard output goes to standard output, and nothing else does."""
    done = person("exec", "--", "sh", "-c", "echo out; exit 7")
    assert (done.code, done.out) == (7, "out\n"), done.err


def test_a_changed_file_waits_for_a_person(person: Any) -> None:
    """Guard off is the next test: with `--merge auto` the same command changes the file."""
    (person.work / "notes").write_text("old\n")
    done = person("exec", "--", "sh", "-c", "echo new > notes")
    assert done.code == 0, done.err
    assert (person.work / "notes").read_text() == "old\n"
    assert "waits for you: ringfence review show" in done.err
    (review,) = held(person)
    assert person("review", "approve", review["id"], "--reason", "read it").code == 0
    assert (person.work / "notes").read_text() == "new\n"


def test_merge_auto_brings_the_change_and_discard_drops_it(person: Any) -> None:
    """Either way nothing waits; the drop is on the record with its rule."""
    (person.work / "notes").write_text("old\n")
    person("exec", "--merge", "auto", "--", "sh", "-c", "echo new > notes")
    assert (person.work / "notes").read_text() == "new\n"
    person("exec", "--merge", "discard", "--", "sh", "-c", "echo newer > notes")
    assert (person.work / "notes").read_text() == "new\n"
    assert held(person) == []
    (dropped,) = json.loads(f"[{person('audit', 'show', '--event', 'merge.drop', '--json').out}]")
    assert (dropped["subject"], dropped["rule"]) == ("notes", "merge-discard")


def test_a_failed_command_merges_nothing(person: Any) -> None:
    """Also with `--merge auto`."""
    done = person("exec", "--merge", "auto", "--", "sh", "-c", "echo new > notes; exit 3")
    assert done.code == 3
    assert not (person.work / "notes").exists()


def test_only_an_allowed_host_gets_past_the_rules(person: Any) -> None:
    """Without the option no rule covers the request; with it, it fails later, at the address."""
    fetch = (
        "import urllib.error, urllib.request as r\n"
        "try:\n"
        "    r.urlopen('http://localhost:9/', timeout=20)\n"
        "except urllib.error.HTTPError as error:\n"
        "    print(error.code)"
    )
    rules = []
    for options in ((), ("--allow-host", "http://localhost:9")):
        done = person("exec", *options, "--", "python3", "-c", fetch)
        assert done.code == 0, done.err
        denied = person("audit", "show", "--event", "egress.deny", "--json").out.splitlines()
        rules.append(json.loads(denied[-1])["rule"])
    assert rules[0] == "no-rule"
    assert rules[1] != "no-rule"


def test_an_unknown_command_is_named_before_anything_starts(person: Any) -> None:
    """Exit code 2, no run."""
    done = person("exec", "--", "no-such-command-here")
    assert (done.code, done.out) == (2, "")
    assert "no-such-command-here" in done.err
    assert person("runs", "list", "--json").json["runs"] == []


def test_what_looks_like_a_variable_arrives_literally(person: Any) -> None:
    """Braces of every kind reach the command as they were typed."""
    arguments = ("{NAME}", "x{NAME}y", "{{NAME}}", "x{{NAME}}", "${NAME}", "{ARG1}", "")
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    done = person("exec", "--", "python3", "-c", show, *arguments)
    assert json.loads(done.out) == [*arguments], done.err


def test_a_program_that_looks_like_a_variable_runs(person: Any, tmp_path: Path) -> None:
    """Its name is resolved like any other."""
    program = tmp_path / "bin" / "{TOOL}"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho it ran\n")
    program.chmod(0o755)
    done = person("exec", "--", "{TOOL}", env={"PATH": f"{program.parent}:/usr/bin:/bin"})
    assert done.out == "it ran\n", done.err


def test_a_terminal_is_given_only_when_asked_for(person: Any) -> None:
    """`test -t` sees one with the option, and none without it."""
    probe = ("--", "sh", "-c", "test -t 0 && test -t 1 && echo yes || echo no")
    assert person("exec", *probe).out == "no\n"
    assert person("exec", "--terminal", *probe).out == "yes\n"


def test_the_chain_of_one_asks_for_exactly_what_the_options_say() -> None:
    """Without options: no network, changes held, no terminal."""
    plain = load(chain_of_one(("true",), (), merge="hold", terminal=False), file="x", variables={})
    (agent,) = plain.agents
    assert (agent.network, agent.secrets, agent.merge.value, agent.type.value) == (
        (), (), "hold", "script",
    )  # fmt: skip
    wide = chain_of_one(("true",), ("api.test",), merge="auto", terminal=True)
    (agent,) = load(wide, file="x", variables={}).agents
    assert [rule.host for rule in agent.network] == ["api.test"]
    assert (agent.merge.value, agent.type.value) == ("auto", "cli")
