"""The step directory: what an attempt is handed, and where it leaves what it hands back.

Invariants:
1. What the agent can write (``out``, ``outbox``) is read back by descriptor, never through a
   link, never a special file, and never more than its bound.
2. A hand-off file is stored scrubbed; the raw bytes never leave the step directory, and the
   step directory loses them as soon as they were read.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ringfence.engine.planning import Handoff
from ringfence.sandbox.workspace import discard


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDir:
    """Host paths of one attempt."""

    root: Path

    @property
    def out(self) -> Path:
        """The directory the agent writes its output into."""
        return self.root / "out"

    @property
    def outbox(self) -> Path:
        """The directory the agent proposes events in."""
        return self.root / "outbox"

    @property
    def layer(self) -> Path:
        """The workspace's changed files."""
        return self.root / "layer"

    @property
    def transcript(self) -> Path:
        """The scrubbed record of what the agent printed."""
        return self.root / "transcript"

    def handoff(self, inputs: Mapping[str, str]) -> Handoff:
        """Give the paths the plan needs."""
        return Handoff(
            prompt=str(self.root / "prompt.txt"),
            ca=str(self.root / "ca.pem"),
            inputs=inputs,
            out=str(self.out),
            outbox=str(self.outbox),
            layer=str(self.layer),
        )


def prepare(root: Path, *, prompt: bytes, ca_pem: bytes) -> StepDir:
    """Make a fresh step directory; what an interrupted attempt left is removed first."""
    step = StepDir(root=root)
    if root.exists():
        if step.layer.exists():
            discard(step.layer)
        shutil.rmtree(root)
    for directory in (root, step.out, step.outbox, step.layer):
        directory.mkdir(mode=0o700, parents=True)
    for name, data in (("prompt.txt", prompt), ("ca.pem", ca_pem)):
        path = root / name
        path.write_bytes(data)
        path.chmod(0o444)
    return step


def read_output(directory: Path, name: str, *, limit: int) -> bytes | None:
    """Read one file an agent wrote; None when there is none.

    Raises ValueError when it is a link, not a regular file or larger than ``limit`` bytes.
    """
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ValueError(f"{name} is a link or cannot be opened") from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ValueError(f"{name} is not a regular file")
            with os.fdopen(fd, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(fd)
    finally:
        os.close(folder)
    if len(data) > limit:
        raise ValueError(f"{name} is larger than {limit} bytes")
    return data


def store_file(directory: Path, name: str, data: bytes) -> None:
    """Store a hand-off file whole or not at all."""
    temporary = directory / f".{name}.new"
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / name)
