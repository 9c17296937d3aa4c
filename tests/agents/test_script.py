import os

from ringfence.agents.script import open_streams


def test_each_stream_is_a_pipe_of_its_own() -> None:
    """What the child writes comes out at our end; ours never block."""
    streams = open_streams(b"prompt")
    assert streams.stdin is not None
    os.write(streams.child.stdout, b"out")
    os.write(streams.child.stderr, b"err")
    os.write(streams.stdin, streams.prompt)
    assert os.read(streams.stdout, 10) == b"out"
    assert os.read(streams.stderr, 10) == b"err"
    assert os.read(streams.child.stdin, 10) == b"prompt"
    assert not any(os.get_blocking(fd) for fd in (streams.stdin, streams.stdout, streams.stderr))
    streams.close()


def test_our_ends_do_not_leak_into_other_processes() -> None:
    """Another step's box must not hold this step's pipes open."""
    streams = open_streams(b"")
    ends = (streams.stdin, streams.stdout, streams.stderr)
    assert not any(os.get_inheritable(fd) for fd in ends if fd is not None)
    streams.close()
