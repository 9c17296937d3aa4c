"""Drive one boxed command: feed the prompt, record what it prints, end it when it must end.

Invariants:
1. Nothing the agent prints reaches a disk or the caller before the recorder scrubbed it.
2. Time, output and a stop request end the box; so does any exception on our side.
3. No read or write blocks: an agent that reads nothing, prints for ever or leaves descriptors open
   in a detached child cannot hold the supervisor.

It decides nothing: bounds come from the plan, and closing the box is the work of whoever made it.
"""

import contextlib
import os
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from ringfence.agents.plain import plain
from ringfence.agents.script import open_streams as open_pipes
from ringfence.agents.streams import Streams
from ringfence.agents.terminal import open_streams as open_terminal
from ringfence.agents.transcript import Recorder, TranscriptStats
from ringfence.engine.box import Box, BoxExit, Stdio

_READ = 64 * 1024
_TICK = 0.05
# After the end of the box what is still in the pipes is read, but for no longer than this.
_DRAIN_SECONDS = 2.0
_KILL_SECONDS = 5.0
_LONGEST_LINE = 500

TIMED_OUT = "timed-out"
OUTPUT_LIMIT = "output-limit"
CANCELLED = "cancelled"
DRIVER_FAILED = "driver-failed"
UNKILLABLE = "unkillable"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """How the agent ended and what it left behind; ``ended_by`` is None when it ended itself."""

    code: int
    ended_by: str | None
    milliseconds: int
    stdout_tail: bytes
    transcript: TranscriptStats


def drive(
    start: Callable[[Stdio], Box],
    *,
    terminal: bool,
    prompt: bytes,
    recorder: Recorder,
    wall_seconds: float,
    output_bytes: int,
    on_line: Callable[[str], None] | None,
    should_stop: Event,
) -> AgentResult:
    """Run the box ``start`` makes until it ends, and finish the recorder.

    ``on_line`` gets each line printed, clean, harmless and cut to 500 characters. Raises what
    ``start`` or ``on_line`` raise, after the box was killed; InputError for a prompt that cannot
    be typed on a terminal.
    """
    box: Box | None = None
    try:
        streams = open_terminal(prompt) if terminal else open_pipes(prompt)
        try:
            box = start(streams.child)
            streams.close_child()
            session = _Session(box, streams, recorder, on_line)
            session.run(wall_seconds, output_bytes, should_stop)
            return session.result()
        finally:
            streams.close()
    except BaseException:
        if box is not None:
            box.kill(DRIVER_FAILED)
        raise
    finally:
        recorder.finish()


class _Session:
    """One box while it runs."""

    def __init__(
        self,
        box: Box,
        streams: Streams,
        recorder: Recorder,
        on_line: Callable[[str], None] | None,
    ) -> None:
        self._box = box
        self._streams = streams
        self._recorder = recorder
        self._on_line = on_line
        self._line = b""
        self._printed = 0
        self._started = time.monotonic()
        self._exit: BoxExit | None = None
        self._ended_by: str | None = None
        self._unsent = memoryview(streams.prompt)
        self._selector = selectors.DefaultSelector()
        for fd in {streams.stdout, streams.stderr}:
            self._selector.register(fd, selectors.EVENT_READ)

    def run(self, wall_seconds: float, output_bytes: int, should_stop: Event) -> None:
        """Move bytes until the box has ended or has to be ended."""
        try:
            self._feed()
            while self._exit is None:
                # An agent that closed its output is most likely ending: wait for that itself.
                open_output = self._move(_TICK)
                self._exit = self._box.wait(0 if open_output else _TICK)
                if self._exit is not None:
                    break
                if should_stop.is_set():
                    self.end(CANCELLED)
                elif self._printed > output_bytes:
                    self.end(OUTPUT_LIMIT)
                elif time.monotonic() - self._started > wall_seconds:
                    self.end(TIMED_OUT)
            self._drain(output_bytes)
        finally:
            self._selector.close()
        self._lines(self._recorder.finish())
        if self._line and self._on_line is not None:
            self._show(self._line)

    def end(self, why: str) -> None:
        """Kill the box and wait for its end."""
        self._ended_by = why
        self._box.kill(why)
        self._exit = self._box.wait(_KILL_SECONDS)
        if self._exit is None:
            self._exit = BoxExit(code=137, ended_by=UNKILLABLE)
            self._ended_by = UNKILLABLE

    def result(self) -> AgentResult:
        """Give the result of a box that has ended."""
        ended = self._exit or BoxExit(code=137, ended_by=UNKILLABLE)
        return AgentResult(
            code=ended.code,
            ended_by=self._ended_by or ended.ended_by,
            milliseconds=round((time.monotonic() - self._started) * 1000),
            stdout_tail=self._recorder.stdout_tail,
            transcript=self._recorder.stats(),
        )

    def _move(self, seconds: float) -> bool:
        """Read what is there and write what fits; say whether anything could still come."""
        if self._unsent:
            self._feed()
        if not self._selector.get_map():
            return False
        for key, _ in self._selector.select(seconds):
            self._read(key.fd)
        return True

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return
        except OSError:
            # Linux gives EIO on the master of a terminal whose last slave was closed.
            data = b""
        if not data:
            self._selector.unregister(fd)
            return
        self._printed += len(data)
        take = self._recorder.stdout if fd == self._streams.stdout else self._recorder.stderr
        self._lines(take(data))

    def _drain(self, output_bytes: int) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._selector.get_map() and self._printed <= output_bytes:
            ready = self._selector.select(0)
            if not ready or time.monotonic() > deadline:
                return
            for key, _ in ready:
                self._read(key.fd)

    def _feed(self) -> None:
        fd = self._streams.stdin
        if fd is None:
            return
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                try:
                    self._unsent = self._unsent[os.write(fd, self._unsent) :]
                except BlockingIOError:
                    raise
                except OSError:
                    # The agent does not want its prompt; that is its affair.
                    self._unsent = memoryview(b"")
            self._streams.close_stdin()

    def _lines(self, clean: bytes) -> None:
        if self._on_line is None:
            return
        *whole, rest = (self._line + clean).split(b"\n")
        for line in whole:
            self._show(line)
        self._line = rest[: 4 * _LONGEST_LINE]

    def _show(self, line: bytes) -> None:
        if self._on_line is not None:
            text = " ".join(plain(line[: 4 * _LONGEST_LINE]).split("\n"))
            self._on_line(text.strip()[:_LONGEST_LINE])
