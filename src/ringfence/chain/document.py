"""Bytes of a JSON or YAML file as one positioned tree, or the first reason why not.

Invariants:
1. Limits come before reading, and reading stops where a limit is met.
2. What ends in ``.json`` is JSON and nothing else; ``.yaml`` and ``.yml`` are YAML. Any other
   name is read as JSON when its first character is ``{``.
3. Nothing is constructed but text, numbers, booleans, null, sequences and mappings.

What the tree means is `ringfence.chain.parse`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.chain.errors import Position
from ringfence.chain.json_text import read_json
from ringfence.chain.node import Items, Leaf, Node, Table
from ringfence.chain.source import LIMITS, Limits, Source, decode
from ringfence.chain.yaml_text import read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A read file: its text with positions, and the tree of its values."""

    source: Source
    root: Node

    def where(self, node: Node) -> Position:
        """Give the place of a node of this document."""
        return self.source.position(node.start, node.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One key or value as text, with the way to it (keys and 0-based indexes)."""

    path: tuple[str | int, ...]
    value: str
    position: Position
    is_key: bool = False


def read(data: bytes, *, file: str, limits: Limits = LIMITS) -> Document:
    """Read one file. Raises InputError, always with a position inside the file."""
    if _is_json(data, file):
        hint = "split the chain, or keep long prompts in files of the workspace"
        source = decode(data, file=file, most=limits.json_bytes, hint=hint)
        return Document(source=source, root=read_json(source, limits))
    hint = "split the chain, or write it as JSON, which may be larger"
    source = decode(data, file=file, most=limits.yaml_bytes, hint=hint)
    return Document(source=source, root=read_yaml(source, limits))


def scalars(document: Document) -> Iterator[Scalar]:
    """Give every key and every value but null, in the order written.

    Numbers and booleans come as they are spelled, so a check of text sees the whole file but
    its comments; those are in ``document.source.text``.
    """
    yield from _scalars(document, document.root, ())


def _scalars(document: Document, node: Node, path: tuple[str | int, ...]) -> Iterator[Scalar]:
    match node:
        case Leaf(value=None):
            return
        case Leaf(value=value):
            text = value if isinstance(value, str) else document.source.text[node.start : node.end]
            yield Scalar(path=path, value=text, position=document.where(node))
        case Items(items=items):
            for index, item in enumerate(items):
                yield from _scalars(document, item, (*path, index))
        case Table(entries=entries):
            for name, entry in entries.items():
                below = (*path, name)
                yield Scalar(
                    path=below, value=name, position=document.where(entry.key), is_key=True
                )
                yield from _scalars(document, entry.value, below)


def _is_json(data: bytes, file: str) -> bool:
    suffix = file.lower().rpartition(".")[2]
    if suffix in {"json", "yaml", "yml"}:
        return suffix == "json"
    return data[:1024].lstrip(b" \t\r\n")[:1] == b"{"
