"""``ringfence review``: a person reads exactly what an agent wants, and nothing acts on them."""

from collections.abc import Callable
from typing import Any

import pytest

Agent = Callable[..., dict[str, object]]
EVIL = "a\x1b[31mred\x1b]0;t\x07 \u202etfel\u202c z\u200bw\r\x0b\x85\u2028 tag\U000e0041 end"
HIDDEN = "\x1b\x07\u202e\u202c\u200b\r\x0b\x85\u2028\U000e0041"


def test_nothing_hidden_stays_hidden_in_a_held_file(person: Any, held: Any) -> None:
    """Guard off: the file has the characters. Shown, each is a visible name on the same line."""
    (held.upper / "f").write_text(EVIL, newline="")
    (held.upper / "link").symlink_to(EVIL)
    held.ask()
    assert set(HIDDEN) <= set((held.upper / "f").read_bytes().decode())
    shown = person("review", "show", "v1")
    assert shown.code == 0, shown.err
    assert not set(HIDDEN) & set(shown.out)
    (line,) = [line for line in shown.out.splitlines() if "tfel" in line and "link" not in line]
    for character in HIDDEN:
        assert f"<U+{ord(character):04X}>" in line
    (link,) = [line for line in shown.out.splitlines() if "link to" in line]
    assert "<U+001B>" in link


def test_long_content_is_shown_to_its_end(person: Any, held: Any) -> None:
    """Many lines and one very long line: nothing is cut, folded or left out."""
    (held.upper / "many").write_text("".join(f"line {n}\n" for n in range(20_000)))
    (held.upper / "wide").write_text("x" * 500_000 + "end")
    held.ask()
    shown = person("review", "show", "v1").out
    assert all(f"  line {n}\n" in shown for n in (0, 9_999, 19_999))
    assert "x" * 500_000 + "end" in shown


def test_programs_get_the_same(person: Any, held: Any) -> None:
    """The JSON form has content, mode and digest, its text escaped."""
    (held.upper / "f").write_text(EVIL, newline="")
    review = held.ask()
    shown = person("review", "show", "v1", "--json")
    assert not set(HIDDEN) & set(shown.out)
    assert shown.json["review"]["digest"] == review.digest
    assert shown.json["parts"][0]["text"] == EVIL
    assert "mode 644" in shown.json["parts"][0]["note"]


def test_the_list_tells_what_waits(person: Any, held: Any) -> None:
    """Answered ones only with `--all`; exit code 3 when nothing waits."""
    assert person("review", "list").code == 3
    (held.upper / "f").write_text("a")
    held.ask()
    assert "writer wants to change files" in person("review", "list").out
    assert person("review", "reject", "v1", "--reason", "no").code == 0
    assert person("review", "list").code == 3
    assert "rejected" in person("review", "list", "--all").out


def test_an_approval_of_something_changed_is_refused(person: Any, held: Any) -> None:
    """Shown with a warning, exit code 4, nothing merged."""
    (held.upper / "f").write_text("harmless")
    held.ask()
    (held.upper / "f").write_text("harmful!")
    assert "warning: this is no longer what was asked about" in person("review", "show", "v1").out
    done = person("review", "approve", "v1", "--reason", "fine")
    assert done.code == 4
    assert "approval-invalid" in done.err
    assert list(held.tree.iterdir()) == []


def test_an_answer_needs_a_reason(person: Any, held: Any) -> None:
    """Without the option it is a usage error, with blanks it is refused."""
    (held.upper / "f").write_text("a")
    held.ask()
    assert person("review", "approve", "v1").code == 2
    assert person("review", "approve", "v1", "--reason", " ").code == 4
    assert list(held.tree.iterdir()) == []


@pytest.mark.box
def test_a_control_file_is_a_question_by_itself(person: Any, agent: Agent) -> None:
    """An agent changes a plain file, a hook and an instruction file: approving one brings one."""
    (person.work / "ws" / ".git" / "hooks").mkdir(parents=True)
    code = (
        "import os\n"
        "open('notes.txt', 'w').write('plain')\n"
        "open('AGENTS.md', 'w').write('obey')\n"
        "open('.git/hooks/post-checkout', 'w').write('#!/bin/sh\\n')\n"
        "os.chmod('.git/hooks/post-checkout', 0o755)"
    )
    space = {"type": "local", "directory": "ws"}
    done = person("run", person.chain(agent("a", code, workspace=space, merge="auto")), "--json")
    assert done.code == 5, done.err
    asked = {r["title"]: r["id"] for r in done.json["reviews"]}
    assert set(asked) == {
        "a wants to change AGENTS.md", "a wants to change .git/hooks/post-checkout",
    }  # fmt: skip
    tree = person.work / "ws"
    assert (tree / "notes.txt").read_text() == "plain"
    hook = person("review", "show", asked["a wants to change .git/hooks/post-checkout"])
    assert "file, mode 755" in hook.out
    review = asked["a wants to change AGENTS.md"]
    assert person("review", "approve", review, "--reason", "read it").code == 0
    assert (tree / "AGENTS.md").read_text() == "obey"
    assert list((tree / ".git" / "hooks").iterdir()) == []


@pytest.mark.box
def test_nothing_hidden_stays_hidden_in_an_agents_output(person: Any, agent: Agent) -> None:
    """From the agent's output file through the gate to the reviewer, whole and harmless."""
    code = (
        "import os\n"
        "out = open(os.environ['RINGFENCE_OUTPUT'], 'w', newline='')\n"
        f"out.write({EVIL!r} + '\\n' + 'x' * 9999)"
    )
    chain = person.chain(
        agent("write", code, emits=["w:done"], output="r.txt"),
        {"name": "ask", "type": "review", "triggers": ["w:done"], "emits": ["chain:complete"],
         "input": "r.txt", "prompt": "Publish?"},
    )  # fmt: skip
    done = person("run", chain, "--json")
    assert done.code == 5, done.err
    shown = person("review", "show", done.json["reviews"][0]["id"]).out
    assert not set(HIDDEN) & set(shown)
    assert "<U+202E>tfel" in shown
    assert "x" * 9999 in shown
