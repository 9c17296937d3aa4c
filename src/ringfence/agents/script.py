"""Standard streams for a command that is no terminal program: three pipes.

The prompt goes to standard input, which is then closed.
"""

import os

from ringfence.agents.streams import Streams
from ringfence.engine.box import Stdio


def open_streams(prompt: bytes) -> Streams:
    """Make the pipes. Raises OSError when descriptors run out."""
    made: list[int] = []
    try:
        for _ in range(3):
            made += os.pipe2(os.O_CLOEXEC)
    except OSError:
        for fd in made:
            os.close(fd)
        raise
    child_in, stdin, stdout, child_out, stderr, child_err = made
    for fd in (stdin, stdout, stderr):
        os.set_blocking(fd, False)
    return Streams(
        child=Stdio(stdin=child_in, stdout=child_out, stderr=child_err),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        prompt=prompt,
    )
