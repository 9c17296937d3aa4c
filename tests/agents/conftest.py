import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.agents.drive import AgentResult, drive
from ringfence.agents.transcript import Recorder
from ringfence.checks.output.scrub import KnownValue, Scrubber
from ringfence.engine.box import Box, BoxExit, Stdio

SECRET = b"hidden-9f8e7d6c5b4a"


class ProcessBox:
    """A box that holds nothing: the command in a session of its own."""

    listener = -1
    mark = "test"

    def __init__(self, argv: list[str], stdio: Stdio, *, terminal: bool) -> None:
        self.kills: list[str] = []
        self._ended_by: str | None = None
        take = "import fcntl,termios,os,sys;fcntl.ioctl(0,termios.TIOCSCTTY,0);"
        wrap = [sys.executable, "-S", "-c", take + "os.execv(sys.argv[1],sys.argv[1:])", *argv]
        self.process = subprocess.Popen(
            wrap if terminal else argv,
            stdin=stdio.stdin,
            stdout=stdio.stdout,
            stderr=stdio.stderr,
            start_new_session=True,
        )

    def wait(self, seconds: float | None = None) -> BoxExit | None:
        """Wait for the end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return BoxExit(code=code if code >= 0 else 128 - code, ended_by=self._ended_by)

    def kill(self, why: str) -> None:
        """End the whole session."""
        self.kills.append(why)
        if self.process.poll() is None:
            self._ended_by = why
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it and collect it."""
        self.kill("closed")
        self.process.wait()


class Harness:
    """Runs a Python script as the agent and keeps what the driver did with it."""

    secret = SECRET

    def __init__(self, directory: Path) -> None:
        self.transcript = directory / "transcript"
        self.lines: list[str] = []
        self.stop = threading.Event()
        self.boxes: list[ProcessBox] = []
        self.scrubber = Scrubber([KnownValue(name="DB", value=SECRET)])

    def starter(self, script: str, *, terminal: bool) -> Callable[[Stdio], Box]:
        """Give what starts a box with this script."""

        def start(stdio: Stdio) -> Box:
            argv = [sys.executable, "-S", "-c", script]
            self.boxes.append(ProcessBox(argv, stdio, terminal=terminal))
            return self.boxes[-1]

        return start

    def run(
        self,
        script: str,
        *,
        terminal: bool = False,
        prompt: bytes = b"",
        wall_seconds: float = 30,
        output_bytes: int = 10_000_000,
        transcript_bytes: int = 10_000_000,
        on_line: Callable[[str], None] | None = None,
    ) -> AgentResult:
        """Drive the script to its end."""
        recorder = Recorder(self.transcript, self.scrubber, max_bytes=transcript_bytes)
        return drive(
            self.starter(script, terminal=terminal),
            terminal=terminal,
            prompt=prompt,
            recorder=recorder,
            wall_seconds=wall_seconds,
            output_bytes=output_bytes,
            on_line=on_line or self.lines.append,
            should_stop=self.stop,
        )


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """Give a harness; whatever it started is gone afterwards."""
    made = Harness(tmp_path)
    yield made
    for box in made.boxes:
        box.close()
