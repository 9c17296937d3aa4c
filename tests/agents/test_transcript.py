import hashlib
import stat
from pathlib import Path

import pytest

from ringfence.agents.transcript import CUT, MAX_TAIL, Recorder
from ringfence.chain.errors import InputError, Unavailable
from ringfence.checks.output.scrub import KnownValue, Scrubber

SECRET = b"hidden-9f8e7d6c5b4a"
SCRUBBER = Scrubber([KnownValue(name="DB", value=SECRET)])


def test_what_is_on_disk_is_what_the_figures_say(tmp_path: Path) -> None:
    """Sizes and digest are those of the file."""
    recorder = Recorder(tmp_path / "t", SCRUBBER)
    recorder.stdout(b"one " + SECRET)
    recorder.stderr(b" two")
    recorder.finish()
    kept = (tmp_path / "t").read_bytes()
    stats = recorder.stats()
    assert kept == b"one [redacted:DB] two"
    assert (stats.bytes_in, stats.bytes_kept, stats.truncated) == (27, len(kept), False)
    assert stats.sha256 == hashlib.sha256(kept).hexdigest()
    assert [finding.check for finding in stats.findings] == ["known-value"]


def test_no_part_of_a_secret_is_on_disk_while_it_is_being_printed(tmp_path: Path) -> None:
    """A crash in the middle leaves a clean file."""
    recorder = Recorder(tmp_path / "t", SCRUBBER)
    recorder.stdout(b"ok " + SECRET[:-1])
    assert (tmp_path / "t").read_bytes() == b"ok "
    recorder.stdout(SECRET[-1:])
    recorder.finish()
    assert (tmp_path / "t").read_bytes() == b"ok [redacted:DB]"


def test_a_secret_spread_over_both_streams_is_not_put_together(tmp_path: Path) -> None:
    """The file is scanned in the order it is written."""
    recorder = Recorder(tmp_path / "t", SCRUBBER)
    recorder.stdout(SECRET[:8])
    recorder.stderr(SECRET[8:])
    recorder.finish()
    assert (tmp_path / "t").read_bytes() == b"[redacted:DB]"


def test_a_secret_of_one_stream_with_noise_from_the_other_is_not_in_the_tail(
    tmp_path: Path,
) -> None:
    """Standard output is scanned on its own for what is taken from it."""
    recorder = Recorder(tmp_path / "t", SCRUBBER)
    recorder.stdout(SECRET[:8])
    recorder.stderr(b"noise")
    recorder.stdout(SECRET[8:])
    recorder.finish()
    assert recorder.stdout_tail == b"[redacted:DB]"
    assert SECRET not in (tmp_path / "t").read_bytes()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600, whatever the umask."""
    Recorder(tmp_path / "t", SCRUBBER).finish()
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == 0o600


def test_what_is_over_the_cap_is_not_kept_and_it_says_so(tmp_path: Path) -> None:
    """The disk is bounded; the reader sees that something is missing."""
    recorder = Recorder(tmp_path / "t", SCRUBBER, max_bytes=10)
    for _ in range(100):
        recorder.stdout(b"abcdef")
    recorder.finish()
    assert (tmp_path / "t").read_bytes() == b"abcdefabcd" + CUT
    assert recorder.stats().truncated
    assert recorder.stats().bytes_in == 600


def test_the_tail_is_the_end_of_standard_output(tmp_path: Path) -> None:
    """Bounded, and the last bytes win."""
    recorder = Recorder(tmp_path / "t", Scrubber([]))
    recorder.stdout(b"a" * MAX_TAIL)
    recorder.stdout(b"b" * 10)
    recorder.finish()
    assert len(recorder.stdout_tail) == MAX_TAIL
    assert recorder.stdout_tail.endswith(b"ab" + b"b" * 9)


@pytest.mark.parametrize("planted", ["file", "link", "dangling"])
def test_a_planted_file_or_link_is_not_written_to(tmp_path: Path, planted: str) -> None:
    """The transcript is always a new file."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    path = tmp_path / "t"
    if planted == "file":
        path.write_bytes(b"old")
    else:
        path.symlink_to(victim if planted == "link" else tmp_path / "nowhere")
    with pytest.raises(InputError):
        Recorder(path, SCRUBBER)
    assert victim.read_bytes() == b"keep"
    assert not (tmp_path / "nowhere").exists()


def test_a_missing_directory_is_the_worlds_fault(tmp_path: Path) -> None:
    """It may be there on the next try."""
    with pytest.raises(Unavailable):
        Recorder(tmp_path / "no" / "t", SCRUBBER)


def test_figures_before_the_end_are_a_mistake(tmp_path: Path) -> None:
    """Half a digest is none; finishing twice is harmless."""
    recorder = Recorder(tmp_path / "t", SCRUBBER)
    with pytest.raises(ValueError, match="not finished"):
        recorder.stats()
    recorder.finish()
    assert recorder.finish() == b""
