import os
from typing import Any

import pytest

from ringfence.agents.terminal import LONGEST_LINE, open_streams
from ringfence.chain.errors import InputError


def test_the_agent_sees_a_terminal_of_a_known_size(harness: Any) -> None:
    """Programs that draw need a size; it never depends on the user's window."""
    script = (
        "import os, sys\n"
        "print(all(os.isatty(n) for n in (0, 1, 2)), os.get_terminal_size())\n"
        "print(os.ttyname(0) == os.ttyname(1), open('/dev/tty') is not None)\n"
    )
    lines = harness.run(script, terminal=True).stdout_tail.split(b"\r\n")
    assert lines[0] == b"True os.terminal_size(columns=120, lines=40)"
    assert lines[1] == b"True True"


def test_the_prompt_is_not_echoed(harness: Any) -> None:
    """A prompt would otherwise stand in every transcript twice."""
    result = harness.run("input()", terminal=True, prompt=b"whisper\n")
    assert b"whisper" not in result.stdout_tail


def test_control_characters_of_a_prompt_are_text(harness: Any) -> None:
    """Interrupt, suspend, kill-line, erase, literal-next, flow control and CR are only bytes."""
    odd = b"a\x03\x1a\x1c\x15\x7f\x08\x17\x16\x13\x11\x12\x0f\r\xffz\n"
    script = "import sys; data = sys.stdin.buffer.read(); print(data.hex())"
    result = harness.run(script, terminal=True, prompt=odd, wall_seconds=10)
    assert result.stdout_tail.strip() == odd.hex().encode()


def test_a_prompt_without_a_last_line_end_still_ends(harness: Any) -> None:
    """The end mark counts only on an empty line."""
    result = harness.run(
        "import sys; print(repr(sys.stdin.read()))", terminal=True, prompt=b"no end"
    )
    assert result.stdout_tail.strip() == b"'no end\\n'"


@pytest.mark.parametrize("prompt", [b"a\x04b", b"x" * LONGEST_LINE])
def test_prompts_that_cannot_be_typed_are_refused(prompt: bytes) -> None:
    """Cutting them silently would give the agent another prompt."""
    with pytest.raises(InputError) as caught:
        open_streams(prompt)
    assert caught.value.code == "prompt-not-typeable"


def test_the_longest_line_arrives_whole(harness: Any) -> None:
    """The bound is the kernel's, not one below it."""
    prompt = b"x" * (LONGEST_LINE - 1) + b"\n"
    result = harness.run(
        "import sys; print(len(sys.stdin.read()))", terminal=True, prompt=prompt * 3
    )
    assert result.stdout_tail.strip() == str(3 * LONGEST_LINE).encode()


def test_input_pushed_back_into_the_terminal_stays_there(harness: Any) -> None:
    """TIOCSTI (CVE-2016-2568) reaches at most the agent's own terminal, never ours."""
    ours = os.ttyname(0) if os.isatty(0) else None
    script = (
        "import fcntl, os, termios\n"
        "print(os.ttyname(0))\n"
        "try: fcntl.ioctl(0, termios.TIOCSTI, b'!')\n"
        "except OSError: pass\n"
    )
    result = harness.run(script, terminal=True)
    assert result.stdout_tail.strip().startswith(b"/dev/pts/")
    assert result.stdout_tail.strip() != (ours or "").encode()
