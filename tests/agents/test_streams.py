import os

import pytest

from ringfence.agents.script import open_streams


def test_closing_twice_is_harmless() -> None:
    """Whoever cleans up does not need to know what was closed before."""
    streams = open_streams(b"")
    streams.close_child()
    streams.close_stdin()
    streams.close()
    for fd in (streams.stdout, streams.stderr, streams.child.stdin):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
