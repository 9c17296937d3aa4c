import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.agents.outbox import MAX_FILES, Outbox, Proposal, read_outbox
from ringfence.chain.errors import Unavailable


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Path]:
    """Give the outbox directory of an agent."""
    path = tmp_path / "outbox"
    path.mkdir()
    return path


def read(path: Path) -> Outbox:
    """Read it as the supervisor does: by descriptor."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_outbox(fd)
    finally:
        os.close(fd)


def put(path: Path, value: object, *, at: int = 0) -> None:
    """Write a proposal with a modification time."""
    path.write_text(json.dumps(value))
    os.utime(path, (at, at))


def test_proposals_come_in_the_order_they_were_written(box: Path) -> None:
    """Names do not order them."""
    put(box / "z.json", {"event": "notes:drafted"}, at=1)
    put(box / "a.json", {"event": "notes:sent", "note": "two\x1b[2J pages"}, at=2)
    assert read(box) == Outbox(
        proposals=(
            Proposal(event="notes:drafted"),
            Proposal(event="notes:sent", note="two pages"),
        ),
        rejected=(),
    )


def test_an_event_is_proposed_once(box: Path) -> None:
    """Repeating a wish does not make it two."""
    for number in range(3):
        put(box / str(number), {"event": "a:b"}, at=number)
    assert [proposal.event for proposal in read(box).proposals] == ["a:b"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"notes:approved",
        b"event: notes:approved\n",
        b"---\nevent: notes:approved\n---\n",
        b'{"event":"notes:approved"',
        b'{"event":"a:b","event":"notes:approved"}',
        b'["notes:approved"]',
        b'{"event":["notes:approved"]}',
        b'{"event":"notes:approved","status":"ok"}',
        b'{"event":"notes:approved","note":1}',
        b'{"event":"NOTES:approved"}',
        b'{"event":"notes:approved\\n"}',
        b'{"event":"notes"}',
        b'{"event":"a:b:c"}',
        b'{"event":"../a:b"}',
        b'{"event":"' + b"a" * 200 + b':b"}',
        b'{"event":"a:b","note":"' + b"x" * 5_000 + b'"}',
    ],
)
def test_a_file_that_cannot_be_read_fires_nothing_whatever_its_name(
    box: Path, content: bytes
) -> None:
    """A runner that falls back to the file's name lets any agent approve its own work."""
    (box / "notes:approved.event").write_bytes(content)
    found = read(box)
    assert found.proposals == ()
    assert len(found.rejected) == 1
    assert found.rejected[0].startswith("notes:approved.event: ")


def test_links_lead_nowhere(box: Path, tmp_path: Path) -> None:
    """Neither a symbolic link nor a second name of a file outside is read."""
    outside = tmp_path / "outside"
    put(outside, {"event": "a:b"})
    (box / "soft").symlink_to(outside)
    (box / "hard").hardlink_to(outside)
    found = read(box)
    assert found.proposals == ()
    assert len(found.rejected) == 2


def test_without_the_guard_a_link_would_be_read(box: Path, tmp_path: Path) -> None:
    """Guard-off proof: opening by path follows the link."""
    outside = tmp_path / "outside"
    put(outside, {"event": "a:b"})
    (box / "soft").symlink_to(outside)
    assert json.loads((box / "soft").read_text()) == {"event": "a:b"}


def test_special_files_are_rejected_without_waiting(box: Path) -> None:
    """A FIFO without a writer would hold a plain open for ever."""
    os.mkfifo(box / "fifo")
    (box / "dir").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(box)
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
    found = read(box)
    assert found.proposals == ()
    assert len(found.rejected) == 3


def test_the_number_of_files_is_bounded(box: Path) -> None:
    """A flooded outbox costs 64 small reads."""
    for number in range(MAX_FILES + 20):
        put(box / str(number), {"event": f"a:b{number}"})
    found = read(box)
    assert len(found.proposals) == MAX_FILES
    assert found.rejected == (f"more than {MAX_FILES} files",)


def test_a_name_cannot_paint_on_the_reader(box: Path) -> None:
    """Reasons are shown to people."""
    (box / "\x1b[31mred\n").write_bytes(b"x")
    assert "\x1b" not in read(box).rejected[0]
    assert "\n" not in read(box).rejected[0]


def test_a_directory_that_cannot_be_listed_is_the_worlds_fault(tmp_path: Path) -> None:
    """No outbox, no answer: never an empty one."""
    (tmp_path / "file").write_text("")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        with pytest.raises(Unavailable):
            read_outbox(fd)
    finally:
        os.close(fd)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=100))
def test_any_content_is_read_or_rejected(box: Path, content: bytes) -> None:
    """One file, one outcome, no exception."""
    (box / "x").write_bytes(content)
    found = read(box)
    assert len(found.proposals) + len(found.rejected) == 1
