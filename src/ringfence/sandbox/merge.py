"""Applying one approved change to the host's workspace.

Invariants:
1. Exactly what was approved is written: the bytes are hashed while they are copied, and a change
   whose digest differs by then is refused.
2. No link is followed and the workspace is not left, on either side (openat2).
3. A path the host changed in the meantime is a conflict, not a victim.
4. The tree's owner keeps the tree: a replaced file keeps its owner, a new one gets the owner of
   its directory; setuid, setgid and sticky bits are dropped.
5. A file appears complete or not at all: temporary name, fsync, rename.

It runs nothing (git least of all) and decides nothing: see ``policy.control_files``.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
import stat
from pathlib import Path

from ringfence.chain.errors import Refused, Unavailable
from ringfence.sandbox.workspace import CHUNK, Change, look, open_beneath, opened, state

RENAME_NOREPLACE = 1
MOST_BYTES = 2 * 1024**3
_DIR = os.O_RDONLY | os.O_DIRECTORY
_TEMPORARY = ".ringfence-merge-"


def apply(directory: Path, change: Change, layer: Path) -> None:
    """Apply one change to the tree at ``directory``.

    Raises Refused (merge-conflict when the host's path is no longer what it was, merge-changed
    when the layer no longer holds what was approved, unsafe-path, unsafe-file-kind),
    Unavailable when the disk fails.
    """
    parts = change.raw.split("/")
    if not all(part not in {"", ".", ".."} and "\0" not in part for part in parts):
        raise Refused("unsafe-path", f"{change.path} is no path inside a workspace")
    *folders, name = parts
    try:
        with opened(os.open(directory, _DIR | os.O_NOFOLLOW | os.O_CLOEXEC)) as root:
            creates = change.kind in {"file", "symlink", "dir"}
            with opened(_parent(root, folders, create=creates)) as parent:
                _unchanged(parent, name, change)
                match change.kind:
                    case "file":
                        _file(parent, name, change, layer)
                    case "symlink":
                        _symlink(parent, name, change)
                    case "dir":
                        _folder(parent, name, change)
                    case "deleted":
                        _delete(parent, name)
                    case _:
                        raise Refused(
                            "unsafe-file-kind", f"{change.path} is a {change.kind}: never merged"
                        )
                os.fsync(parent)
    except OSError as error:
        raise _explain(error, change) from error


def _explain(error: OSError, change: Change) -> Refused | Unavailable:
    if error.errno in {errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.ENOENT, errno.EEXIST,
                       errno.ENOTEMPTY, errno.EISDIR}:  # fmt: skip
        return _conflict(change)
    return Unavailable("merge-failed", f"{change.path} cannot be written: {error.strerror}")


def _conflict(change: Change) -> Refused:
    return Refused(
        "merge-conflict",
        f"{change.path} was changed on the host after the box started",
        hint="look at both versions and run the step again, or copy the file from the layer",
    )


def _parent(root: int, folders: list[str], *, create: bool) -> int:
    """Open the directory of a path, making the missing ones above a new file."""
    current = open_beneath(root, ".", _DIR)
    for folder in folders:
        with opened(current):
            if create and look(current, folder) is None:
                os.mkdir(folder, 0o755, dir_fd=current)
                _own(current, folder, os.fstat(current))
            current = open_beneath(current, folder, _DIR)
    return current


def _own(folder: int, name: str, owner: os.stat_result) -> None:
    """As root, give a path to the owner of the tree."""
    if os.geteuid() == 0:
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=folder, follow_symlinks=False)


def _unchanged(parent: int, name: str, change: Change) -> None:
    if state(parent, name, MOST_BYTES) != change.before_sha256:
        raise _conflict(change)


def _file(parent: int, name: str, change: Change, layer: Path) -> None:
    top = "tree" if (layer / "tree").is_dir() else "upper"
    temporary = _TEMPORARY + secrets.token_hex(8)
    owner = look(parent, name) or os.fstat(parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        opened(os.open(layer / top, _DIR | os.O_NOFOLLOW | os.O_CLOEXEC)) as result,
        opened(open_beneath(result, change.raw, os.O_RDONLY | os.O_NONBLOCK)) as source,
    ):
        if not stat.S_ISREG(os.fstat(source).st_mode):
            raise _not_as_approved(change)
        with opened(os.open(temporary, flags, 0o600, dir_fd=parent)) as target:
            try:
                _copy(source, target, change)
                if os.geteuid() == 0:
                    os.fchown(target, owner.st_uid, owner.st_gid)
                os.fchmod(target, change.mode & 0o777)
                os.fsync(target)
                _unchanged(parent, name, change)
                _rename(parent, temporary, name, replace=change.before_sha256 is not None)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
                raise


def _copy(source: int, target: int, change: Change) -> None:
    hashed, total = hashlib.sha256(), 0
    while piece := os.read(source, CHUNK):
        total += len(piece)
        if total > change.size:
            raise _not_as_approved(change)
        hashed.update(piece)
        done = 0
        while done < len(piece):
            done += os.write(target, piece[done:])
    if hashed.hexdigest() != change.sha256 or total != change.size:
        raise _not_as_approved(change)


def _not_as_approved(change: Change) -> Refused:
    return Refused(
        "merge-changed",
        f"{change.path} in the layer is no longer what was approved",
        hint="ask for a new review",
    )


def _rename(parent: int, old: str, new: str, *, replace: bool) -> None:
    """Rename within a directory; when nothing stood there, refuse to replace what came since."""
    if replace:
        os.rename(old, new, src_dir_fd=parent, dst_dir_fd=parent)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(parent, os.fsencode(old), parent, os.fsencode(new), RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new)


def _symlink(parent: int, name: str, change: Change) -> None:
    temporary = _TEMPORARY + secrets.token_hex(8)
    owner = look(parent, name) or os.fstat(parent)
    os.symlink(change.target or "", temporary, dir_fd=parent)
    try:
        _own(parent, temporary, owner)
        _unchanged(parent, name, change)
        _rename(parent, temporary, name, replace=change.before_sha256 is not None)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        raise


def _folder(parent: int, name: str, change: Change) -> None:
    if change.before_sha256 is None:
        os.mkdir(name, 0o700, dir_fd=parent)
        _own(parent, name, os.fstat(parent))
    with opened(open_beneath(parent, name, _DIR)) as folder:
        os.fchmod(folder, change.mode & 0o777)


def _delete(parent: int, name: str) -> None:
    info = look(parent, name)
    if info is not None and stat.S_ISDIR(info.st_mode):
        os.rmdir(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
