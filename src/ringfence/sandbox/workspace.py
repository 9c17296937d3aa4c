"""What a box changed in its workspace, read from the outside as if every name were hostile.

Invariants:
1. Trees are read by descriptor, name by name, without following any link; nothing is executed.
2. Every difference between the host's tree and the result appears exactly once: contents, modes,
   links, deletions (each file of a deleted or replaced directory by itself), special files.
3. Reading is bounded. Over a bound there is no partial answer: `Refused`, and nothing is merged.
4. `Change.path` is safe to print and one-to-one; `Change.raw` is the name on disk.

Two kinds of layer give the same answer: the upper directory of an overlay (``upper/``), and,
where the host cannot mount one, a full copy (``tree/``) with a list of what it was copied from.
What a change may do is decided by ``policy.control_files``; `merge` applies one.
"""

import ctypes
import errno
import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ringfence.chain.canonical import digest
from ringfence.chain.errors import Refused, Unavailable
from ringfence.engine.plan import WorkspacePlan
from ringfence.policy.effect import MergeEffect

SYS_OPENAT2 = 437
RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # no other mount, no magic link, no symlink, beneath
CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of a layer is read: entries looked at, bytes hashed, directories deep."""

    entries: int = 50_000
    total_bytes: int = 2 * 1024**3
    depth: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. ``before_sha256`` is the `state` of the host's path, None when absent.

    ``kind`` is file, symlink, dir, device, fifo, socket, unreadable or deleted.
    """

    path: str
    raw: str
    kind: str
    mode: int = 0
    target: str | None = None
    size: int = 0
    sha256: str | None = None
    before_sha256: str | None = None

    @property
    def effect(self) -> MergeEffect:
        """Give what policy decides about, with the name as it is on disk."""
        return MergeEffect(path=self.raw, kind=self.kind, mode=self.mode, target=self.target)

    @property
    def digest(self) -> str:
        """Give the one digest an approval of this change is for."""
        return digest(
            {
                "path": self.path,
                "kind": self.kind,
                "mode": self.mode,
                "target": None if self.target is None else shown(self.target),
                "size": self.size,
                "sha256": self.sha256,
                "before": self.before_sha256,
            }
        )


def shown(raw: str) -> str:
    """Give a name as text that is safe to print; different names stay different."""
    if raw.isprintable() and "\\" not in raw and raw.isascii():
        return raw
    pieces = []
    for character in raw:
        if character == "\\":
            pieces.append("\\\\")
        elif character.isprintable():
            pieces.append(character)
        elif "\udc80" <= character <= "\udcff":
            pieces.append(f"\\x{ord(character) - 0xDC00:02x}")
        else:
            pieces.append(f"\\u{{{ord(character):x}}}")
    return "".join(pieces)


def open_beneath(root: int, path: str, flags: int) -> int:
    """Open a path below a directory without leaving it and without following any link.

    Raises OSError as open does; EXDEV and ELOOP mean that the path tried to leave.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, RESOLVE)
    name = os.fsencode(path)
    if b"\0" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    fd = libc.syscall(SYS_OPENAT2, root, name, how, ctypes.c_size_t(len(how)))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(fd)


@contextmanager
def opened(fd: int) -> Iterator[int]:
    """Close a descriptor when the block is left."""
    try:
        yield fd
    finally:
        os.close(fd)


def look(folder: int, name: str) -> os.stat_result | None:
    """Give the status of a name in an open directory; None when there is none."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def hash_file(folder: int, name: str, most: int) -> tuple[str, int]:
    """Give SHA-256 and size of a regular file. Raises Refused when it holds more than ``most``."""
    with opened(os.open(name, _OPEN, dir_fd=folder)) as fd:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "no longer a regular file", name)
        total, hashed = 0, hashlib.sha256()
        while piece := os.read(fd, CHUNK):
            total += len(piece)
            if total > most:
                raise _over("bytes")
            hashed.update(piece)
    return hashed.hexdigest(), total


def state(folder: int, name: str, most: int) -> str | None:
    """Give a digest of what stands at a name (content, link text or kind); None when absent."""
    info = look(folder, name)
    if info is None:
        return None
    kind = _KINDS[stat.S_IFMT(info.st_mode)]
    if kind == "file":
        return hash_file(folder, name, most)[0]
    text = os.readlink(name, dir_fd=folder) if kind == "symlink" else ""
    return hashlib.sha256(kind.encode() + b"\0" + os.fsencode(text)).hexdigest()


def _over(what: str) -> Refused:
    return Refused(
        "workspace-over-bound",
        f"the workspace holds more {what} than are read; nothing of it is merged",
        hint="look at the layer by hand, or work in a smaller directory",
    )


class _Reader:
    """One walk over a result and the host's tree side by side."""

    def __init__(self, bounds: Bounds, base: dict[str, tuple[int, str]] | None) -> None:
        """``base`` is what a full copy was made from; None reads an overlay."""
        self.changes: list[Change] = []
        self._bounds = bounds
        self._bytes = bounds.total_bytes
        self._entries = bounds.entries
        self._base = base

    def walk(self, result: int, host: int | None, prefix: str, depth: int) -> None:
        """Compare a directory of the result with the host's. Nothing shines through a copy."""
        if depth > self._bounds.depth:
            raise _over("nested directories")
        hides = self._base is not None or _is_opaque(result)
        names = os.listdir(result)
        if host is not None and hides:
            for name in sorted(set(os.listdir(host)) - set(names)):
                self._delete(host, name, prefix, depth)
        for name in sorted(names):
            self._spend()
            info = os.stat(name, dir_fd=result, follow_symlinks=False)
            before = look(host, name) if host is not None else None
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                if host is not None and before is not None:
                    self._delete(host, name, prefix, depth)
                continue
            turned = False
            if host is not None and before is not None:
                turned = stat.S_ISDIR(info.st_mode) != stat.S_ISDIR(before.st_mode)
                if turned:
                    self._delete(host, name, prefix, depth)
                    before = None
            known = None if turned else self._before(prefix + name, host, name)
            self._compare(result, name, info, prefix, known)
            if stat.S_ISDIR(info.st_mode):
                self._descend(result, name, host if before else None, prefix, depth)

    def _descend(self, result: int, name: str, host: int | None, prefix: str, depth: int) -> None:
        try:
            inner = os.open(name, _OPEN_DIR, dir_fd=result)
        except PermissionError:
            self._add(prefix + name, "unreadable")
            return
        with opened(inner):
            if host is None:
                self.walk(inner, None, f"{prefix}{name}/", depth + 1)
                return
            with opened(os.open(name, _OPEN_DIR, dir_fd=host)) as below:
                self.walk(inner, below, f"{prefix}{name}/", depth + 1)

    def _compare(
        self,
        result: int,
        name: str,
        info: os.stat_result,
        prefix: str,
        before: tuple[int, str] | None,
    ) -> None:
        """Report an entry of the result unless the host (or the copied original) is the same."""
        raw, mode = prefix + name, stat.S_IMODE(info.st_mode)
        kind = _KINDS[stat.S_IFMT(info.st_mode)]
        if kind == "dir":
            now: str | None = hashlib.sha256(b"dir\0").hexdigest()
            if before != (mode, now):
                self._add(raw, kind, mode=mode, before=before)
            return
        if kind == "symlink":
            target = os.readlink(name, dir_fd=result)
            now = hashlib.sha256(b"symlink\0" + os.fsencode(target)).hexdigest()
            if before is None or before[1] != now:
                self._add(raw, kind, mode=mode, target=target, sha256=now, before=before)
            return
        if kind != "file":
            self._add(raw, kind, mode=mode, before=before)
            return
        try:
            now, size = hash_file(result, name, self._bytes)
        except PermissionError:
            self._add(raw, "unreadable", mode=mode, before=before)
            return
        self._bytes -= size
        if before != (mode, now):
            self._add(raw, kind, mode=mode, size=size, sha256=now, before=before)

    def _before(self, raw: str, host: int | None, name: str) -> tuple[int, str] | None:
        if self._base is not None:
            return self._base.get(raw)
        info = look(host, name) if host is not None else None
        if host is None or info is None:
            return None
        found = state(host, name, self._bytes)
        self._bytes -= info.st_size if stat.S_ISREG(info.st_mode) else 0
        return None if found is None else (stat.S_IMODE(info.st_mode), found)

    def _delete(self, host: int, name: str, prefix: str, depth: int) -> None:
        """Report the deletion of a host path, the contents of a directory first."""
        if depth > self._bounds.depth:
            raise _over("nested directories")
        self._spend()
        raw = prefix + name
        info = look(host, name)
        if info is None or (self._base is not None and raw not in self._base):
            return
        if stat.S_ISDIR(info.st_mode):
            with opened(os.open(name, _OPEN_DIR, dir_fd=host)) as inner:
                for child in sorted(os.listdir(inner)):
                    self._delete(inner, child, f"{raw}/", depth + 1)
        self._add(raw, "deleted", before=self._before(raw, host, name))

    def _spend(self) -> None:
        self._entries -= 1
        if self._entries < 0:
            raise _over("entries")

    def _add(
        self,
        raw: str,
        kind: str,
        *,
        mode: int = 0,
        target: str | None = None,
        size: int = 0,
        sha256: str | None = None,
        before: tuple[int, str] | None = None,
    ) -> None:
        self.changes.append(
            Change(
                path=shown(raw),
                raw=raw,
                kind=kind,
                mode=mode,
                target=target,
                size=size,
                sha256=sha256,
                before_sha256=before[1] if before else None,
            )
        )


def _is_opaque(folder: int) -> bool:
    """Say whether an overlay directory hides the host's; Refused for marks we never ask for."""
    marks = {name.partition(".")[2]: name for name in os.listxattr(folder)}
    if "overlay.redirect" in marks or "overlay.metacopy" in marks:
        raise Refused("workspace-layer-unknown", "the layer was not written by our own mount")
    name = marks.get("overlay.opaque")
    return name is not None and os.getxattr(folder, name) == b"y"


def changes(directory: Path, layer: Path, *, bounds: Bounds | None = None) -> tuple[Change, ...]:
    """Give what a box changed: deletions first (contents before their directory), then the rest.

    The box must have ended. Raises Refused over a bound or for a layer that is not ours,
    Unavailable when the layer or the directory cannot be read.
    """
    copied = (layer / "tree").is_dir()
    base = _read_base(layer / "base.json") if copied else None
    reader = _Reader(bounds or Bounds(), base)
    try:
        with (
            opened(os.open(layer / ("tree" if copied else "upper"), _OPEN_DIR)) as result,
            opened(os.open(directory, _OPEN_DIR)) as host,
        ):
            reader.walk(result, host, "", 0)
    except OSError as error:
        raise Unavailable(
            "workspace-unreadable",
            f"the changes cannot be read: {shown(str(error.filename))}: {error.strerror}",
        ) from error
    return tuple(sorted(reader.changes, key=lambda change: change.kind != "deleted"))


def discard(layer: Path) -> None:
    """Remove a layer whatever the box left in it: closed directories, any depth. No layer, no harm.

    Directories are moved to the top before they are emptied, so depth costs no stack.
    Raises Unavailable when something cannot be removed.
    """
    try:
        with opened(os.open(layer, _OPEN_DIR)) as top:
            moved = 0
            while names := os.listdir(top):
                for name in names:
                    moved = _empty(top, name, moved)
        layer.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable(
            "workspace-discard", f"the layer {layer} cannot be removed: {error.strerror}"
        ) from error


def _empty(top: int, name: str, moved: int) -> int:
    """Remove an entry of ``top``; what is a directory in it moves up. Gives the count of moves."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=top)
        return moved
    os.chmod(name, 0o700, dir_fd=top)
    with opened(os.open(name, _OPEN_DIR, dir_fd=top)) as folder:
        for inner in os.listdir(folder):
            if stat.S_ISDIR(os.stat(inner, dir_fd=folder, follow_symlinks=False).st_mode):
                moved += 1
                os.chmod(inner, 0o700, dir_fd=folder)
                os.rename(inner, f".gone-{moved}", src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(inner, dir_fd=folder)
    os.rmdir(name, dir_fd=top)
    return moved


# --- the copy, where an overlay cannot be had -----------------------------------------------------


def _read_base(path: Path) -> dict[str, tuple[int, str]]:
    rows = json.loads(path.read_bytes())
    return {str(raw): (int(mode), str(found)) for raw, mode, found in rows}


class _Copier:
    """Copies a tree by descriptor and remembers what it copied."""

    def __init__(self, bounds: Bounds, owner: tuple[int, int]) -> None:
        self.rows: list[tuple[str, int, str]] = []
        self._entries = bounds.entries
        self._bytes = bounds.total_bytes
        self._depth = bounds.depth
        self._owner = owner

    def copy(self, source: int, target: int, prefix: str, depth: int) -> None:
        """Copy the contents of one directory; sockets, fifos and devices stay behind."""
        if depth > self._depth:
            raise _over("nested directories")
        for name in sorted(os.listdir(source)):
            self._entries -= 1
            if self._entries < 0:
                raise _over("entries")
            info = os.stat(name, dir_fd=source, follow_symlinks=False)
            mode, raw = stat.S_IMODE(info.st_mode) & 0o1777, prefix + name
            if stat.S_ISDIR(info.st_mode):
                os.mkdir(name, 0o700, dir_fd=target)
                with (
                    opened(os.open(name, _OPEN_DIR, dir_fd=source)) as inner,
                    opened(os.open(name, _OPEN_DIR, dir_fd=target)) as copy,
                ):
                    self.copy(inner, copy, f"{raw}/", depth + 1)
                    os.fchown(copy, *self._owner)
                    os.fchmod(copy, mode)
            elif stat.S_ISLNK(info.st_mode):
                os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
                os.chown(name, *self._owner, dir_fd=target, follow_symlinks=False)
                mode = stat.S_IMODE(info.st_mode)
            elif stat.S_ISREG(info.st_mode):
                self._file(source, target, name, mode)
            else:
                continue
            found = state(target, name, self._bytes)
            self.rows.append((raw, mode, found or ""))

    def _file(self, source: int, target: int, name: str, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with (
            opened(os.open(name, _OPEN, dir_fd=source)) as read,
            opened(os.open(name, flags, 0o600, dir_fd=target)) as write,
        ):
            while piece := os.read(read, CHUNK):
                self._bytes -= len(piece)
                if self._bytes < 0:
                    raise _over("bytes")
                with memoryview(piece) as rest:
                    done = 0
                    while done < len(rest):
                        done += os.write(write, rest[done:])
            os.fchown(write, *self._owner)
            os.fchmod(write, mode)


def copy_tree(work: WorkspacePlan, uid: int, gid: int, *, bounds: Bounds | None = None) -> Path:
    """Copy a workspace into its layer for a box that runs as ``uid``; give the copy's place.

    Raises Refused over a bound or when the layer is in use, Unavailable when copying fails.
    """
    layer = Path(work.layer)
    tree = layer / "tree"
    copier = _Copier(bounds or Bounds(), (uid, gid))
    try:
        layer.mkdir(parents=True, exist_ok=True)
        tree.mkdir(mode=0o700)
        with (
            opened(os.open(work.directory, _OPEN_DIR)) as source,
            opened(os.open(tree, _OPEN_DIR)) as target,
        ):
            copier.copy(source, target, "", 0)
            os.fchown(target, uid, gid)
            os.fchmod(target, stat.S_IMODE(os.fstat(source).st_mode) & 0o1777)
        (layer / "base.json").write_text(json.dumps(copier.rows))
    except FileExistsError as error:
        raise Refused(
            "layer-in-use",
            f"{layer} already holds the changes of another attempt",
            hint="give every attempt a layer of its own",
        ) from error
    except OSError as error:
        raise Unavailable(
            "workspace-copy", f"the workspace cannot be copied: {error.strerror}"
        ) from error
    return tree
