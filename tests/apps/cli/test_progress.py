"""Progress lines as a person sees them: whatever a runner or an agent says, it is one line."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.apps.cli.progress import Printer

Agent = Callable[..., dict[str, object]]
EVIL = "a\nb\x1b[31mc\u202ed\u200be\rf\x07"
MESSAGES = [
    {"kind": "line", "agent": EVIL, "text": EVIL},
    {"kind": "step", "agent": "a", "status": EVIL, "reason": EVIL},
    {"kind": "event", "agent": "a", "event": EVIL},
    {"kind": "denied", "agent": "a", "what": EVIL, "rule": EVIL},
    {"kind": "merge", "agent": "a", "verdict": "ask", "path": EVIL, "rule": EVIL},
    {"kind": "finding", "agent": "a", "text": EVIL},
    {"kind": "review", "agent": "a", "title": EVIL, "review": EVIL},
    {"kind": "error", "code": EVIL, "message": EVIL, "where": EVIL, "hint": ""},
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m["kind"])
def test_no_message_leaves_its_line(
    message: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """No control, direction or zero-width character gets through any kind of message."""
    Printer(agents=["a"]).line(message)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert not set(shown.err.removesuffix("\n")) & set("\n\x1b\u202e\u200b\r\x07")
    assert "<U+202E>" in shown.err


@pytest.mark.parametrize("message", [{}, {"kind": "new"}, {"kind": None}, {"kind": ["line"]}])
def test_an_unknown_message_is_passed_over(
    message: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A newer runner may say more than this command line knows."""
    Printer(agents=[]).line(message)
    assert capsys.readouterr() == ("", "")


@pytest.mark.box
def test_an_agents_output_cannot_touch_the_terminal(person: Any, agent: Agent) -> None:
    """Guard off: the agent did print the bytes, its own file has them. None gets to our streams."""
    code = (
        "import os, sys\n"
        "evil = b'A\\x1b]0;owned\\x07B\\x1b[2JC\\xe2\\x80\\xaeD\\xe2\\x80\\x8bE\\rF\\x9b31mG\\n'\n"
        "sys.stdout.buffer.write(evil)\n"
        "sys.stderr.buffer.write(evil)\n"
        "open(os.environ['RINGFENCE_OUTPUT'], 'wb').write(evil)"
    )
    done = person("run", person.chain(agent("a", code, output="o.bin")))
    (kept,) = (person.data / "runs").glob("*/files/o.bin")
    assert b"\x1b]0;owned" in kept.read_bytes()
    (person.work / "evil").write_bytes(kept.read_bytes())
    bare = person("exec", "--", "cat", "evil")
    for text in (done.out, done.err, bare.out, bare.err):
        assert not set(text) & set("\x1b\x07\r\x9b\u202e\u200b")
    assert "G" in bare.out


@pytest.mark.box
def test_a_failed_run_says_why_and_what_to_do(person: Any, agent: Agent) -> None:
    """With `--json` too: the object on standard output, the reason and the hint on the other."""
    done = person("run", person.chain(agent("bad", "raise SystemExit(3)")), "--json")
    body = json.loads(done.out)
    assert (done.code, body["exit"], body["status"]) == (1, 1, "failed")
    assert "error: bad: exit code 3" in done.err
    assert f"hint: ringfence runs show {body['run']}" in done.err
