"""The leak oracle: says whether a canary is anywhere it must not be, in whatever disguise.

Invariants:
1. A place that cannot be read is an error, never "nothing found".
2. What arrives at a server is searched request by request, in arrival order and put together,
   so a value cut in pieces, sent a character at a time or as DNS labels is found too.
3. A leak names the canary, the place and the disguise, never the value.

It is a net for values we made up ourselves; it is not the product's own output check.
"""

import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from ringfence.apps.replay.canaries import Canary
from ringfence.apps.replay.forms import patterns, views

SHORTEST_PIECE = 4
MOST_PIECES = 8
_SQLITE_MAGIC = b"SQLite format 3\0"
_TARGET = re.compile(rb"^[A-Z]+ (\S+) HTTP/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Somewhere to look: ``entries`` in arrival order; a file is one entry."""

    name: str
    entries: tuple[bytes, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One canary found in one place in one disguise."""

    canary: str
    place: str
    form: str


def search(canaries: Iterable[Canary], places: Iterable[Place]) -> list[Leak]:
    """Give every leak; the same canary in the same place is reported once, by first disguise."""
    wanted = [(canary, patterns(canary.core)) for canary in canaries]
    leaks: list[Leak] = []
    for place in places:
        whole = list(_whole(place))
        for canary, forms in wanted:
            form = _in_whole(forms, whole) or _in_order(canary.core, forms, place)
            if form is not None:
                leaks.append(Leak(canary=canary.name, place=place.name, form=form))
    return leaks


def tree(name: str, root: Path, *, leave_out: frozenset[Path] = frozenset()) -> Iterator[Place]:
    """Give every file below ``root`` as a place; databases also value by value; links by text.

    ``leave_out`` names files where a canary was planted on purpose.
    """
    for path in sorted(root.rglob("*")):
        where = f"{name}/{path.relative_to(root)}"
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield Place(name=where, entries=(str(path.readlink()).encode(),))
        elif stat.S_ISREG(mode) and path not in leave_out:
            data = path.read_bytes()
            yield Place(name=where, entries=(data,))
            if data.startswith(_SQLITE_MAGIC):
                yield Place(name=where, entries=tuple(_values(path)))
        yield Place(name=f"{where} (name)", entries=(path.name.encode("utf-8", "replace"),))


def _whole(place: Place) -> Iterator[tuple[str, bytes]]:
    for entry in place.entries:
        yield from views(entry)
    if len(place.entries) > 1:
        yield "joined", b"".join(place.entries)
    if place.names:
        yield "dns-labels", _labels(place.names)


def _in_whole(forms: dict[str, bytes], whole: Sequence[tuple[str, bytes]]) -> str | None:
    for view, data in whole:
        lowered = data.lower() if view == "dns-labels" else b""
        for form, pattern in forms.items():
            if pattern in data or (lowered and pattern.lower() in lowered):
                return f"{view}:{form}" if view else form
    return None


def _in_order(core: str, forms: dict[str, bytes], place: Place) -> str | None:
    """Look for a value that only exists once several arrivals are put together."""
    if len(place.entries) < 2:
        return None
    for stream in _single_characters(place.entries):
        for form, pattern in forms.items():
            if pattern in stream:
                return f"one-by-one:{form}"
    for form, density in (("raw", 1), ("reversed", 1), ("base64+0", 1), ("hex", 2)):
        if _greedy(forms[form], place.entries, shortest=SHORTEST_PIECE * density):
            return f"pieces:{form}"
    for count in range(2, MOST_PIECES + 1):
        if _cut(core.encode(), count, place.entries):
            return f"pieces-{count}"
    return None


def _cut(value: bytes, count: int, entries: Sequence[bytes]) -> bool:
    """Say whether ``value`` in ``count`` even pieces arrived in order."""
    size = -(-len(value) // count)
    pieces = [value[i : i + size] for i in range(0, len(value), size)]
    if min(len(p) for p in pieces[:-1] or pieces) < SHORTEST_PIECE:
        return False
    stream = b"\n".join(entries)
    at = 0
    for piece in pieces:
        at = stream.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def _greedy(value: bytes, entries: Sequence[bytes], *, shortest: int) -> bool:
    """Say whether uneven pieces arrived in order, each request taking the longest next one.

    A rest shorter than the shortest piece counts as arrived: so little is found by chance, and
    whoever has the value but for it has the value.
    """
    rest = value
    for entry in entries:
        for length in range(len(rest), shortest - 1, -1):
            if rest[:length] in entry:
                rest = rest[length:]
                break
        if len(rest) < shortest:
            return True
    return False


def _single_characters(entries: Sequence[bytes]) -> Iterator[bytes]:
    """Give, for each spot of a request, the single characters that stood there, in order."""
    spots: dict[str, list[bytes]] = {}
    for entry in entries:
        match = _TARGET.match(entry)
        target, _, query = (match[1] if match else b"").partition(b"?")
        found = {"path": target.rsplit(b"/", 1)[-1]}
        for number, pair in enumerate(query.split(b"&")):
            found[f"query{number}"] = pair.rpartition(b"=")[2]
        found["body"] = entry.partition(b"\r\n\r\n")[2] if match else entry
        for spot, text in found.items():
            plain = unquote_to_bytes(text.strip())
            if len(plain) == 1:
                spots.setdefault(spot, []).append(plain)
    yield from (b"".join(chars) for chars in spots.values())


def _labels(names: Sequence[str]) -> bytes:
    """Give the labels in front of the registered name of every query, run together in order."""
    return "".join("".join(name.rstrip(".").split(".")[:-2]) for name in names).encode()


def _values(path: Path) -> Iterator[bytes]:
    """Give every text and blob of a database, read from a copy so that its log is applied."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "copy.sqlite"
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        with closing(sqlite3.connect(copy)) as base:
            base.text_factory = bytes
            tables = base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                quoted = table.decode().replace('"', '""')
                for row in base.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608 - a table of a file we made; names cannot be bound
                    yield from (v for v in row if isinstance(v, bytes))
