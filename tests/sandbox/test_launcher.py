"""The launcher as a program of its own."""

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.sandbox import launcher

SOURCE = Path(launcher.__file__)


def start(fd: int, parent: int) -> subprocess.Popen:
    """Start the program as the backend does."""
    python = os.path.realpath(sys.executable)
    command = [python, "-I", "-S", str(SOURCE), str(fd), str(parent)]
    return subprocess.Popen(command, env={}, cwd="/", pass_fds=[fd])


def test_it_imports_nothing_but_the_standard_library() -> None:
    """No package of anybody's runs in the process that is root before a box."""
    names = set()
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names <= sys.stdlib_module_names


def test_it_ends_with_its_socket() -> None:
    """End of file means that the supervisor is gone."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = start(theirs.fileno(), os.getpid())
        ours.close()
        theirs.close()
        assert process.wait(20) == 0


def test_it_does_not_outlive_a_supervisor_that_died_first() -> None:
    """If its parent is another process by now, it ends at once."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = start(theirs.fileno(), os.getpid() + 1)
        assert process.wait(20) == 0


@pytest.mark.parametrize("ids", [(0, 1000), (1000, 0), (0, 0)])
def test_uid_0_is_refused_whatever_was_asked_for(ids: tuple[int, int]) -> None:
    """A supervisor with a mistake cannot start a box as root."""
    with pytest.raises(PermissionError):
        launcher.become(*ids)


def test_a_failed_step_is_named(tmp_path: Path) -> None:
    """The supervisor learns which step failed and about what."""
    path = tmp_path / "report"
    with path.open("wb") as report:
        launcher.tell(report.fileno(), "stage", 2, "/x" * 400)
    text = path.read_text()
    assert '"step": "stage"' in text
    assert '"errno": 2' in text
    assert len(text) < 700
