"""Where things lie and who is asking: read once from the command line and the environment.

Invariants:
1. The data directory is a real directory, ours, and closed to others, or nothing starts.
2. A person is known by the operating system's user, never by an option.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from ringfence.chain.errors import InputError, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDir:
    """The data directory and the names of what lies in it."""

    root: Path

    @property
    def state(self) -> Path:
        """Runs, reviews and sealed secrets."""
        return self.root / "state.sqlite"

    @property
    def secrets(self) -> Path:
        """Sealed secrets."""
        return self.root / "secrets.sqlite"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.root / "audit.sqlite"

    def run(self, run: str) -> Path:
        """Give the directory of one run."""
        return self.root / "runs" / run

    def step(self, run: str, agent: str, attempt: int) -> Path:
        """Give the directory of one attempt of one step."""
        return self.run(run) / "steps" / f"{agent}-{attempt}"


def open_data_dir(given: str | None) -> DataDir:
    """Open (and make, when new) the data directory. Raises InputError when others could read it."""
    chosen = given or os.environ.get("RINGFENCE_DATA")
    if chosen:
        root = Path(chosen)
    else:
        base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        root = Path(base) / "ringfence"
    root = root.expanduser().absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = root.stat(follow_symlinks=False)
    except OSError as error:
        raise InputError(
            "data-dir-unusable",
            f"cannot use {root}: {error.strerror}",
            hint="give another directory with --data-dir",
        ) from error
    if not stat.S_ISDIR(facts.st_mode):
        raise InputError(
            "data-dir-unusable", f"{root} is not a directory", hint="remove it or choose another"
        )
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise InputError(
            "data-dir-open-to-others",
            f"{root} is readable by others or owned by another user",
            hint=f"chown and chmod 700 {root}",
        )
    return DataDir(root=root)


def host_failed(error: OSError) -> Unavailable:
    """Give the error for a file or a process the host did not let us have."""
    return Unavailable(
        "host-failed",
        f"{error.filename or 'this host'}: {error.strerror or type(error).__name__}",
        hint="check permissions and free space, then try again",
    )


def person() -> str:
    """Give the identity of whoever started this process, as ``user:NAME``."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return f"user:{name}"
