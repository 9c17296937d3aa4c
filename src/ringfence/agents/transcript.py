"""Keep what an agent printed: scrubbed before it touches a disk, bounded, and never as a terminal.

Invariants:
1. Only bytes that came out of a `StreamScrubber` are written; what is half a secret when the
   agent ends is written as it is, because then it is none.
2. The file is new, mode 0600, and opened without following a link.
3. Not more than the cap is kept; where it was cut stands `CUT` as the last line.

The transcript holds both streams in the order they arrived and is scanned in that order, so it
holds no secret even if the agent spreads one over both. The tail of standard output is scrubbed
on its own, because a step may take it as its output.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ringfence.chain.errors import InputError, Unavailable
from ringfence.checks.finding import Finding
from ringfence.checks.output.scrub import Scrubber

MAX_TRANSCRIPT = 16 * 1024 * 1024
MAX_TAIL = 256 * 1024
CUT = b"\n[transcript cut here: the limit is reached]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptStats:
    """What was kept: ``bytes_in`` as printed, ``bytes_kept`` on disk, digest of the file."""

    bytes_in: int
    bytes_kept: int
    truncated: bool
    sha256: str
    findings: tuple[Finding, ...]


class Recorder:
    """Record one attempt of one step."""

    def __init__(self, path: Path, scrubber: Scrubber, *, max_bytes: int = MAX_TRANSCRIPT) -> None:
        """Make the file.

        Raises InputError when it is there already and Unavailable when it cannot be made.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags, 0o600)
        except FileExistsError:
            raise InputError(
                "transcript-exists",
                f"there is already a transcript {path.name}",
                hint="every attempt needs its own directory",
            ) from None
        except OSError as error:
            raise Unavailable(
                "transcript-unwritable", f"the transcript cannot be made: {error.strerror}"
            ) from error
        self._all = scrubber.stream()
        self._stdout = scrubber.stream()
        self._tail = bytearray()
        self._digest = hashlib.sha256()
        self._left = max_bytes
        self._bytes_in = 0
        self._bytes_kept = 0
        self._truncated = False
        self._stats: TranscriptStats | None = None

    @property
    def stdout_tail(self) -> bytes:
        """Give the last `MAX_TAIL` clean bytes of standard output; complete after `finish`."""
        return bytes(self._tail)

    def stdout(self, data: bytes) -> bytes:
        """Take bytes of standard output (or of a terminal); give the clean bytes now certain."""
        self._keep_tail(self._stdout.feed(data))
        return self.stderr(data)

    def stderr(self, data: bytes) -> bytes:
        """Take bytes of standard error; give the clean bytes now certain."""
        self._bytes_in += len(data)
        clean = self._all.feed(data)
        self._write(clean)
        return clean

    def finish(self) -> bytes:
        """Write what was held back, close the file; give the last clean bytes. Harmless twice."""
        if self._stats is not None:
            return b""
        self._keep_tail(self._stdout.finish())
        clean = self._all.finish()
        self._write(clean)
        os.close(self._file)
        self._stats = TranscriptStats(
            bytes_in=self._bytes_in,
            bytes_kept=self._bytes_kept,
            truncated=self._truncated,
            sha256=self._digest.hexdigest(),
            findings=self._all.findings,
        )
        return clean

    def stats(self) -> TranscriptStats:
        """Give the figures. Raises ValueError before `finish`."""
        if self._stats is None:
            raise ValueError("the transcript is not finished")
        return self._stats

    def _keep_tail(self, clean: bytes) -> None:
        self._tail += clean
        if len(self._tail) > MAX_TAIL:
            del self._tail[: len(self._tail) - MAX_TAIL]

    def _write(self, clean: bytes) -> None:
        if self._truncated or not clean:
            return
        kept = clean[: self._left]
        self._left -= len(kept)
        if len(kept) < len(clean):
            self._truncated = True
            kept += CUT
        self._digest.update(kept)
        self._bytes_kept += len(kept)
        rest = memoryview(kept)
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except OSError as error:
                raise Unavailable(
                    "transcript-unwritable", f"the transcript cannot be written: {error.strerror}"
                ) from error
