"""The two ends of an agent's standard streams: ours to drive, the child's to give to the box."""

import contextlib
import os
from dataclasses import dataclass

from ringfence.engine.box import Stdio


@dataclass(slots=True, kw_only=True)
class Streams:
    """Descriptors of one attempt. ``stdout`` and ``stderr`` are the same on a terminal.

    ``stdin`` is None once nothing more is to be written; all of ours are non-blocking.
    """

    child: Stdio
    stdin: int | None
    stdout: int
    stderr: int
    prompt: bytes
    keep_stdin: bool = False
    _open_child: bool = True

    def close_child(self) -> None:
        """Close our copies of the child's ends, so that its end shows as end of file."""
        if self._open_child:
            self._open_child = False
            for fd in {self.child.stdin, self.child.stdout, self.child.stderr}:
                os.close(fd)

    def close_stdin(self) -> None:
        """Say that the prompt is over. A terminal stays open: the prompt's EOT said it."""
        if self.stdin is not None and not self.keep_stdin:
            os.close(self.stdin)
        self.stdin = None

    def close(self) -> None:
        """Close everything that is still open."""
        self.close_child()
        self.close_stdin()
        for fd in {self.stdout, self.stderr}:
            with contextlib.suppress(OSError):
                os.close(fd)
