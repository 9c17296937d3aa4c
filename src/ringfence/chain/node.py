"""The tree of a read file: plain values with the span they were written in.

Invariants:
1. The tree holds only mappings with unique string keys, sequences, and the scalars of JSON;
   there are no references, so walking it once takes time linear in the file.
2. `Meter` counts while a reader builds, so a bomb is refused where it goes off, not after.
3. Strings hold no lone surrogate and no control character except tab, CR and LF.

Reading is ``json_text`` and ``yaml_text``; what a field means is ``fields``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

from ringfence.chain.source import Limits, Source
from ringfence.chain.words import Json

Plain: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A scalar and its span."""

    value: Plain
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A sequence and its span."""

    items: "tuple[Node, ...]"
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a mapping with its value; ``name`` is the key's text."""

    name: str
    key: Leaf
    value: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping in the order it was written, and its span.

    The methods read a tree that was checked; what is absent or of another type is the default.
    """

    entries: Mapping[str, Entry]
    start: int
    end: int

    def get(self, name: str) -> "Node | None":
        """Give the value under a key."""
        entry = self.entries.get(name)
        return None if entry is None else entry.value

    def text(self, name: str, default: str = "") -> str:
        """Give a text."""
        node = self.get(name)
        return node.value if isinstance(node, Leaf) and isinstance(node.value, str) else default

    def whole(self, name: str) -> int | None:
        """Give a whole number."""
        node = self.get(name)
        return node.value if isinstance(node, Leaf) and isinstance(node.value, int) else None

    def items(self, name: str) -> "tuple[Node, ...]":
        """Give the members of a list; a single value counts as a list of one."""
        node = self.get(name)
        return node.items if isinstance(node, Items) else () if node is None else (node,)

    def leaves(self, name: str) -> tuple[Leaf, ...]:
        """Give the scalars of a list."""
        return tuple(node for node in self.items(name) if isinstance(node, Leaf))

    def texts(self, name: str) -> tuple[str, ...]:
        """Give the texts of a list."""
        return tuple(str(leaf.value) for leaf in self.leaves(name))

    def table(self, name: str) -> "Table | None":
        """Give a mapping."""
        node = self.get(name)
        return node if isinstance(node, Table) else None

    def mapping(self, name: str) -> dict[str, Json] | None:
        """Give a mapping as plain JSON."""
        table = self.table(name)
        if table is None:
            return None
        return {key: to_json(entry.value) for key, entry in table.entries.items()}


Node: TypeAlias = Leaf | Items | Table

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LARGEST = 2**53 - 1  # RFC 7493 section 2.2: beyond it readers disagree about the value


class Meter:
    """Check each thing a reader meets against the limits, at the place where it stands."""

    __slots__ = ("_count", "_limits", "_most", "_source")

    def __init__(self, source: Source, limits: Limits, *, most: int) -> None:
        self._source = source
        self._limits = limits
        self._most = most
        self._count = 0

    def node(self, start: int) -> None:
        """Count one key or value. Raises InputError too-many-values."""
        self._count += 1
        if self._count > self._most:
            raise self._source.error(
                "too-many-values", f"the file has more than {self._most} keys and values", start
            )

    def deeper(self, depth: int, start: int) -> int:
        """Give the depth below ``depth``. Raises InputError too-deep."""
        if depth >= self._limits.depth:
            raise self._source.error(
                "too-deep", f"values are nested more than {self._limits.depth} deep", start
            )
        return depth + 1

    def text(self, value: str, start: int, end: int) -> str:
        """Give the text back. Raises InputError bad-character for what no string may hold."""
        if found := _UNFIT.search(value):
            raise self._source.error(
                "bad-character",
                f"the text contains U+{ord(found.group()):04X}, which no value may hold",
                start,
                end,
            )
        return value

    def key(self, value: Plain, entries: Mapping[str, Entry], start: int, end: int) -> str:
        """Give the key's name.

        Raises InputError: key-not-text, key-too-long, duplicate-key, too-many-keys.
        """
        if not isinstance(value, str):
            raise self._source.error(
                "key-not-text",
                "a key has to be text",
                start,
                end,
                hint=f'write it in quotes: "{self._source.text[start:end][:40]}"',
            )
        if len(value) > self._limits.key_characters:
            raise self._source.error(
                "key-too-long",
                f"a key has at most {self._limits.key_characters} characters",
                start,
                end,
            )
        self.text(value, start, end)
        if value in entries:
            first = self._source.position(entries[value].key.start)
            raise self._source.error(
                "duplicate-key",
                f"the key {quoted(value)} is already on line {first.line}",
                start,
                end,
                hint="keep one of the two: readers disagree about which one counts",
            )
        if len(entries) >= self._limits.keys:
            raise self._source.error(
                "too-many-keys", f"a mapping has at most {self._limits.keys} keys", start, end
            )
        return value

    def number(self, text: str, *, base: int, start: int, end: int) -> int | float:
        """Give the number a literal stands for; ``base`` 0 means a fraction or exponent.

        Raises InputError number-out-of-range for what JSON readers would not all read alike.
        """
        value: int | float = 0
        fits = len(text) <= self._limits.number_characters
        if fits:
            value = int(text, base) if base else float(text)
            fits = abs(value) <= _LARGEST if base else isfinite(value)
        if not fits:
            raise self._source.error(
                "number-out-of-range",
                f"the number {quoted(text)} is too large or too long",
                start,
                end,
                hint="write it in quotes if it is meant as text",
            )
        return value


def to_json(node: Node) -> Json:
    """Give the plain JSON value of a tree."""
    match node:
        case Leaf():
            return node.value
        case Items():
            return [to_json(item) for item in node.items]
        case Table():
            return {name: to_json(entry.value) for name, entry in node.entries.items()}


def quoted(text: str) -> str:
    """Give text from a file as a short one-line quotation for a message."""
    short = text if len(text) <= 60 else text[:59] + "\N{HORIZONTAL ELLIPSIS}"
    return '"' + short.encode("unicode_escape").decode("ascii").replace("\\u2026", "…") + '"'
