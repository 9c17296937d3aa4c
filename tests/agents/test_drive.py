import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ringfence.agents.drive import (
    CANCELLED,
    DRIVER_FAILED,
    OUTPUT_LIMIT,
    TIMED_OUT,
    UNKILLABLE,
    drive,
)
from ringfence.agents.transcript import Recorder
from ringfence.engine.box import Box, BoxExit, Stdio

BOTH = pytest.mark.parametrize("terminal", [False, True], ids=["pipes", "terminal"])


def open_descriptors() -> int:
    """Count our own open descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


@BOTH
def test_an_agent_reads_its_prompt_and_its_output_is_kept(harness: Any, *, terminal: bool) -> None:
    """The prompt goes in whole and ends; the answer is in the transcript and in the tail."""
    result = harness.run(
        "import sys; text = sys.stdin.read(); print('got', len(text), text.split()[-1])",
        terminal=terminal,
        prompt=b"do it\nplease now\n",
    )
    assert (result.code, result.ended_by) == (0, None)
    assert result.stdout_tail.split() == [b"got", b"17", b"now"]
    assert harness.transcript.read_bytes() == result.stdout_tail
    assert harness.lines[0] == "got 17 now"


@BOTH
def test_the_exit_code_is_the_agents(harness: Any, *, terminal: bool) -> None:
    """A failing agent is not a killed one."""
    result = harness.run("import sys; sys.exit(7)", terminal=terminal)
    assert (result.code, result.ended_by) == (7, None)


@BOTH
def test_a_secret_reaches_neither_disk_nor_caller(harness: Any, *, terminal: bool) -> None:
    """Written in pieces, with a flush between: it is still recognised."""
    script = (
        "import sys\n"
        f"for c in {harness.secret.decode()!r}:\n"
        "    sys.stdout.write(c); sys.stdout.flush()\n"
        "print(' end')\n"
    )
    result = harness.run(script, terminal=terminal)
    assert b"[redacted:DB] end" in result.stdout_tail
    assert harness.secret not in harness.transcript.read_bytes()
    assert not any(harness.secret.decode() in line for line in harness.lines)
    assert [finding.check for finding in result.transcript.findings] == ["known-value"]


def test_without_the_recorder_the_secret_would_be_there(harness: Any, tmp_path: Path) -> None:
    """Guard-off proof: the same agent, written to a file directly, leaks."""
    leak = tmp_path / "leak"
    with leak.open("wb") as file:
        stdio = Stdio(stdin=os.open("/dev/null", os.O_RDONLY), stdout=file.fileno(), stderr=2)
        box = harness.starter(f"print({harness.secret.decode()!r})", terminal=False)(stdio)
        box.wait(10)
        os.close(stdio.stdin)
    assert harness.secret in leak.read_bytes()


@BOTH
def test_an_agent_that_never_ends_is_ended(harness: Any, *, terminal: bool) -> None:
    """The time bound holds although the agent ignores polite signals."""
    script = (
        "import signal, time\n"
        "for s in (1, 2, 3, 15): signal.signal(s, signal.SIG_IGN)\n"
        "while True: time.sleep(1)\n"
    )
    result = harness.run(script, terminal=terminal, wall_seconds=1)
    assert (result.code, result.ended_by) == (137, TIMED_OUT)


@BOTH
def test_an_agent_that_prints_without_end_is_ended(harness: Any, *, terminal: bool) -> None:
    """The output bound holds, and what is kept stays near it."""
    script = "import os\nwhile True: os.write(1, b'y' * 4096 + b'\\n')"
    result = harness.run(script, terminal=terminal, output_bytes=200_000, transcript_bytes=1_000)
    assert result.ended_by == OUTPUT_LIMIT
    assert result.transcript.truncated
    assert result.transcript.bytes_in < 2_000_000
    assert len(harness.transcript.read_bytes()) < 1_100


@BOTH
def test_a_stop_request_ends_the_agent(harness: Any, *, terminal: bool) -> None:
    """Cancelling a run is not waiting for its agents."""
    script = "import time\nprint('up', flush=True)\ntime.sleep(60)"
    result = harness.run(script, terminal=terminal, on_line=lambda _: harness.stop.set())
    assert result.ended_by == CANCELLED
    assert b"up" in result.stdout_tail


@BOTH
def test_an_agent_that_does_not_read_cannot_hold_us(harness: Any, *, terminal: bool) -> None:
    """A prompt larger than any buffer is offered, not forced."""
    result = harness.run("print('done')", terminal=terminal, prompt=b"line\n" * 400_000)
    assert (result.code, result.ended_by) == (0, None)


def test_an_agent_that_closes_its_input_is_not_harmed(harness: Any) -> None:
    """Not wanting the prompt is its affair."""
    script = "import os, time\nos.close(0)\ntime.sleep(0.3)\nprint('fine')"
    result = harness.run(script, prompt=b"x" * 1_000_000)
    assert (result.code, result.stdout_tail) == (0, b"fine\n")


def test_a_large_prompt_arrives_whole(harness: Any) -> None:
    """Larger than a pipe, read slowly."""
    result = harness.run("import sys; print(len(sys.stdin.buffer.read()))", prompt=b"x" * 3_000_000)
    assert result.stdout_tail.strip() == b"3000000"


def test_a_detached_child_with_our_pipe_cannot_hold_us(harness: Any) -> None:
    """The end of the box ends the reading, not the end of file."""
    script = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    time.sleep(20); os._exit(0)\n"
        "print('parent gone')\n"
    )
    result = harness.run(script, wall_seconds=15)
    assert (result.code, result.ended_by) == (0, None)
    assert b"parent gone" in result.stdout_tail
    os.killpg(harness.boxes[0].process.pid, 9)


def test_standard_error_is_in_the_transcript_and_not_in_the_tail(harness: Any) -> None:
    """A step's output is what it wrote to standard output."""
    result = harness.run("import sys; print('out'); print('err', file=sys.stderr)")
    assert result.stdout_tail == b"out\n"
    assert b"err" in harness.transcript.read_bytes()


def test_lines_are_harmless_and_short(harness: Any) -> None:
    """Live progress cannot paint on the user's terminal nor fill it."""
    harness.run("print('\\x1b]0;title\\x07\\x1b[2Jhello\\rworld'); print('z' * 9000)")
    assert harness.lines == ["hello world", "z" * 500]


def test_a_failing_listener_ends_the_box(harness: Any) -> None:
    """Our own exception never leaves an agent running unwatched."""

    def fail(_: str) -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        harness.run("import time\nprint('x', flush=True)\ntime.sleep(60)", on_line=fail)
    assert harness.boxes[0].kills == [DRIVER_FAILED]
    assert harness.boxes[0].wait(10) is not None


def test_a_box_that_cannot_start_leaves_nothing_open(harness: Any, tmp_path: Path) -> None:
    """Descriptors are closed on the way out."""

    def refuse(_: Stdio) -> Box:
        raise RuntimeError("no box")

    before = open_descriptors()
    recorder = Recorder(tmp_path / "t", harness.scrubber)
    with pytest.raises(RuntimeError, match="no box"):
        drive(
            refuse,
            terminal=False,
            prompt=b"",
            recorder=recorder,
            wall_seconds=1,
            output_bytes=1,
            on_line=None,
            should_stop=threading.Event(),
        )
    assert open_descriptors() == before


@BOTH
def test_nothing_stays_open_after_a_run(harness: Any, *, terminal: bool) -> None:
    """A supervisor drives thousands of steps."""
    before = open_descriptors()
    harness.run("print('x')", terminal=terminal)
    assert open_descriptors() == before


def test_a_box_that_survives_its_kill_is_reported(harness: Any, tmp_path: Path) -> None:
    """The driver gives up waiting and says so; it does not hang."""

    class Undead:
        listener = -1
        mark = "undead"

        def wait(self, seconds: float | None = None) -> BoxExit | None:
            return None

        def kill(self, why: str) -> None:
            pass

        def close(self) -> None:
            pass

    harness.stop.set()
    result = drive(
        lambda _: Undead(),
        terminal=False,
        prompt=b"",
        recorder=Recorder(tmp_path / "t", harness.scrubber),
        wall_seconds=1,
        output_bytes=1,
        on_line=None,
        should_stop=harness.stop,
    )
    assert (result.code, result.ended_by) == (137, UNKILLABLE)
