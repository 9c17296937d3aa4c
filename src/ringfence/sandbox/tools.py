"""What a box gets of the host's programs: the system's own, and the real prefix of one command.

Invariants:
1. Allow-list only: /usr, the links to it and named pieces of /etc; nothing of any home directory
   but the installation a named command really lives in.
2. A mounted prefix is one of the known kinds (virtual environment, Python, Node, conda, a
   ``node_modules``); otherwise only the one file is mounted. A home directory, /etc, /var or a
   file system root is never mounted.
3. Every mount says by its ``rule`` what asked for it, and stands inside where it stands outside.
4. Nothing is executed: shims and shebangs are read.
"""

import pwd
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ringfence.chain.errors import InputError
from ringfence.engine.plan import Mount, MountKind

ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "fonts", "ld.so.cache",
    "localtime", "magic", "mime.types", "pki/ca-trust/extracted", "pki/tls/certs", "protocols",
    "services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "xml",
)  # fmt: skip
LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
DEEPEST = 6
LONGEST_LINE = 512
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_NEVER = frozenset(
    map(Path, ("/", "/bin", "/boot", "/dev", "/etc", "/home", "/mnt", "/opt", "/proc", "/root",
               "/run", "/srv", "/sys", "/tmp", "/usr", "/var"))  # noqa: S108 - names to refuse
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedCommand:
    """A command as the box will call it, and the mounts it needs besides the system's."""

    path_inside: str
    mounts: tuple[Mount, ...] = ()


@lru_cache(maxsize=1)
def system_mounts() -> tuple[Mount, ...]:
    """Give the mounts every box has: /usr, the links to it, and what of /etc programs need."""
    mounts = [_read_only(Path("/usr"), "system:usr")]
    for name in LINKS:
        path = Path("/", name)
        if path.is_symlink():
            mounts.append(
                Mount(
                    target=str(path),
                    kind=MountKind.SYMLINK,
                    source=str(path.readlink()),
                    rule="system:link",
                )
            )
        elif path.is_dir():
            mounts.append(_read_only(path, "system:libraries"))
    for name in ETC:
        path = Path("/etc", name)
        if path.exists():
            mounts.append(_read_only(path, f"system:etc/{name}"))
    return tuple(mounts)


def _read_only(path: Path, rule: str) -> Mount:
    return Mount(target=str(path), kind=MountKind.READ_ONLY, source=str(path.resolve()), rule=rule)


def command_mounts(argv0: str, *, search: Sequence[str]) -> ResolvedCommand:
    """Resolve a command on the host to the path a box calls and the mounts that path needs.

    A relative path with a slash stays as it is: it is looked up in the box's work tree.
    Raises InputError for a command that is not found or cannot be mounted.
    """
    if "/" in argv0 and not argv0.startswith("/"):
        if ".." in PurePosixPath(argv0).parts or "\0" in argv0:
            raise _not_found(argv0, "a relative command cannot climb out of the workspace")
        return ResolvedCommand(path_inside=argv0)
    found = _find(argv0, search)
    mounts: dict[str, Mount] = {}
    inside = _collect(found, search, mounts, f"command:{PurePosixPath(argv0).name}", 0)
    kept = [m for m in mounts.values() if not _covered(Path(m.target), m, mounts)]
    return ResolvedCommand(path_inside=str(inside), mounts=tuple(kept))


def _not_found(argv0: str, why: str) -> InputError:
    return InputError(
        "command-not-found",
        f"{argv0!r}: {why}",
        hint="install it, give its absolute path, or put it into the workspace as ./name",
    )


def _find(argv0: str, search: Sequence[str]) -> Path:
    """Give the file a name means. Raises InputError when there is none."""
    if "\0" in argv0 or not argv0:
        raise _not_found(argv0, "this is no name of a command")
    places = [Path(argv0)] if argv0.startswith("/") else [
        Path(folder, argv0) for folder in search if folder.startswith("/")
    ]  # fmt: skip
    for place in places:
        try:
            if place.is_file() and place.stat().st_mode & 0o111:
                return _past_shim(place)
        except OSError:
            continue
    raise _not_found(argv0, "no such executable")


def _past_shim(path: Path) -> Path:
    """Give the program behind a pyenv shim: the first of its global versions that has it."""
    root = path.parent.parent
    if path.parent.name != "shims" or not (root / "versions").is_dir():
        return path
    try:
        chosen = (root / "version").read_text()[:LONGEST_LINE].split()
    except OSError:
        chosen = []
    for version in chosen:
        behind = root / "versions" / version / "bin" / path.name
        if re.fullmatch(r"[\w.+-]+", version) and behind.is_file():
            return behind
    raise _not_found(path.name, f"{path} is a shim without a global version that has it")


def _collect(
    path: Path, search: Sequence[str], mounts: dict[str, Mount], rule: str, depth: int
) -> Path:
    """Add the mounts a program needs; give the path by which the box can call it."""
    if depth > DEEPEST:
        raise _not_found(str(path), "its interpreters lead round in circles")
    real = path.resolve()
    inside = path
    for step in _steps(path):
        prefix = _prefix(step)
        if prefix is not None:
            _add(mounts, prefix, rule)
            _base_of_venv(prefix, mounts, rule)
        elif step == real and not _is_system(real):
            _add(mounts, real, rule)
    if not _is_system(path) and _prefix(path) is None:
        inside = real
    interpreter = _interpreter(real, search)
    if interpreter is not None:
        _collect(interpreter, search, mounts, f"{rule}:interpreter", depth + 1)
    return inside


def _steps(path: Path) -> list[Path]:
    """Give a path and what its last component links to, link by link, to the real file."""
    steps = [path]
    while steps[-1].is_symlink() and len(steps) < 16:
        steps.append(steps[-1].parent / steps[-1].readlink())
    return [*steps, path.resolve()]


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in _SYSTEM)


@lru_cache(maxsize=1)
def _homes() -> frozenset[Path]:
    return frozenset(Path(entry.pw_dir) for entry in pwd.getpwall())


def _add(mounts: dict[str, Mount], path: Path, rule: str) -> None:
    if _is_system(path):
        return
    if path in _NEVER or path in _homes() or path.resolve() in _NEVER | _homes():
        raise _not_found(str(path), "this directory is never mounted into a box")
    mounts.setdefault(str(path), _read_only(path, rule))


def _prefix(path: Path) -> Path | None:
    """Give the installation a program belongs to, when it is of a kind we know."""
    path = path.parent.resolve() / path.name
    if _is_system(path):
        return None
    for folder in path.parents:
        if folder in _NEVER or folder in _homes():
            return None
        if folder.name == "node_modules" or _is_installation(folder):
            return folder
    return None


def _is_installation(folder: Path) -> bool:
    return (
        (folder / "pyvenv.cfg").is_file()
        or (folder / "conda-meta").is_dir()
        or ((folder / "bin/python3").exists() and any(folder.glob("lib/python3*/os.py")))
        or ((folder / "bin/node").is_file() and (folder / "lib/node_modules").is_dir())
    )


def _base_of_venv(prefix: Path, mounts: dict[str, Mount], rule: str) -> None:
    """Add the Python a virtual environment was made from."""
    try:
        text = (prefix / "pyvenv.cfg").read_text()[:4096]
    except OSError:
        return
    match = re.search(r"^home\s*=\s*(/.*)$", text, re.MULTILINE)
    if match is None:
        return
    base = _prefix(Path(match[1].strip(), "python3"))
    if base is not None and base != prefix:
        _add(mounts, base, f"{rule}:venv-base")
        _base_of_venv(base, mounts, rule)


def _interpreter(path: Path, search: Sequence[str]) -> Path | None:
    """Give the program a script names in its first line; None for anything but a script."""
    with path.open("rb") as file:
        line = file.readline(LONGEST_LINE)
    if not line.startswith(b"#!"):
        return None
    words = line[2:].decode("utf-8", "replace").split()
    if words and PurePosixPath(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return _find(words[0], search) if words else None


def _covered(path: Path, own: Mount, mounts: dict[str, Mount]) -> bool:
    """Say whether another mount already shows this path."""
    return any(
        path != Path(other.target) and path.is_relative_to(other.target)
        for other in mounts.values()
        if other is not own and other.source == other.target
    )
