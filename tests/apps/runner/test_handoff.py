"""What an agent leaves is read by descriptor, bounded, and never through a link."""

import os
import socket
from pathlib import Path

import pytest

from ringfence.apps.runner.handoff import prepare, read_output, store_file


def test_a_plain_output_is_read_whole(tmp_path: Path) -> None:
    """The plain case."""
    (tmp_path / "o").write_bytes(b"report")
    assert read_output(tmp_path, "o", limit=6) == b"report"
    assert read_output(tmp_path, "missing", limit=6) is None


def test_an_output_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Following the link would read a file of the host: shown first, then refused."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"host file")
    out = tmp_path / "out"
    out.mkdir()
    (out / "o").symlink_to(secret)
    assert (out / "o").read_bytes() == b"host file"
    with pytest.raises(ValueError, match="link"):
        read_output(out, "o", limit=100)


def test_an_output_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """The directory itself is not followed either."""
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match=r"directory|symbolic"):
        read_output(tmp_path / "out", "o", limit=100)


@pytest.mark.parametrize("kind", ["fifo", "dir", "socket"])
def test_special_files_neither_block_nor_pass(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FIFO without a writer would block for ever; a directory or socket is no output."""
    target = tmp_path / "o"
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "dir":
        target.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(tmp_path)
            server.bind("o")
    with pytest.raises(ValueError, match=r"regular|opened"):
        read_output(tmp_path, "o", limit=100)


def test_an_output_over_its_bound_is_refused(tmp_path: Path) -> None:
    """One byte too many is too many."""
    (tmp_path / "o").write_bytes(b"x" * 101)
    with pytest.raises(ValueError, match="larger"):
        read_output(tmp_path, "o", limit=100)


def test_a_new_attempt_starts_from_nothing(tmp_path: Path) -> None:
    """What an interrupted attempt left does not count for the next one."""
    step = prepare(tmp_path / "s", prompt=b"p", ca_pem=b"c")
    (step.outbox / "e.json").write_text('{"event": "a:b"}')
    step = prepare(tmp_path / "s", prompt=b"p", ca_pem=b"c")
    assert list(step.outbox.iterdir()) == []
    assert (step.root / "prompt.txt").read_bytes() == b"p"


def test_storing_replaces_whole_files(tmp_path: Path) -> None:
    """No half-written hand-off file is left beside the stored one."""
    store_file(tmp_path, "o", b"one")
    store_file(tmp_path, "o", b"two")
    assert (tmp_path / "o").read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["o"]
