"""Strict JSON (RFC 8259) with positions: what the standard library reads, but saying where.

The standard decoder gives no positions for values, keeps the last of two equal keys and takes
NaN; so the grammar is walked here and the library decodes only single, already checked, literals.
"""

import json
import re

from ringfence.chain.errors import InputError
from ringfence.chain.node import Entry, Items, Leaf, Meter, Node, Table
from ringfence.chain.source import Limits, Source

_SPACE = re.compile(r"[ \t\n\r]*+")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*+))(\.[0-9]++)?+([eE][+-]?[0-9]++)?+")
_WORD = re.compile(r"[^\s,:\[\]{}\"]{1,40}")
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_HINTS = {
    "NaN": "JSON has no such number",
    "Infinity": "JSON has no such number",
    "-Infinity": "JSON has no such number",
    "True": "write true",
    "False": "write false",
    "None": "write null",
}


def read_json(source: Source, limits: Limits) -> Node:
    """Read one JSON text. Raises InputError at the first thing that is not JSON or too much."""
    return _Reader(source, limits).document()


class _Reader:
    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._text = source.text
        self._meter = Meter(source, limits, most=limits.json_values)
        self._at = 0

    def document(self) -> Node:
        self._skip()
        if self._at == len(self._text):
            raise self._source.error("empty-file", "the file is empty", 0)
        node = self._any_value(0)
        self._skip()
        if self._at < len(self._text):
            raise self._wrong("the end of the file")
        return node

    def _any_value(self, depth: int) -> Node:
        start = self._at
        self._meter.node(start)
        match self._peek():
            case "{":
                return self._table(self._meter.deeper(depth, start))
            case "[":
                return self._items(self._meter.deeper(depth, start))
            case '"':
                return self._string()
            case _:
                return self._bare()

    def _table(self, depth: int) -> Table:
        start = self._at
        entries: dict[str, Entry] = {}
        self._at += 1
        self._skip()
        while self._peek() != "}":
            if entries:
                self._expect(",", 'a "," or "}"')
            if self._peek() != '"':
                raise self._wrong("a key in double quotes")
            self._meter.node(self._at)
            key = self._string()
            name = self._meter.key(key.value, entries, key.start, key.end)
            self._skip()
            self._expect(":", 'a ":"')
            entries[name] = Entry(name=name, key=key, value=self._any_value(depth))
            self._skip()
        self._at += 1
        return Table(entries=entries, start=start, end=self._at)

    def _items(self, depth: int) -> Items:
        start = self._at
        items: list[Node] = []
        self._at += 1
        self._skip()
        while self._peek() != "]":
            if items:
                self._expect(",", 'a "," or "]"')
            items.append(self._any_value(depth))
            self._skip()
        self._at += 1
        return Items(items=tuple(items), start=start, end=self._at)

    def _string(self) -> Leaf:
        start = self._at
        found = _STRING.match(self._text, start)
        end = start if found is None else found.end()
        if self._text[end : end + 1] != '"':
            raise self._bad_string(start, end)
        self._at = end + 1
        # Only a whole literal that the grammar above took reaches the library.
        value = str(json.loads(self._text[start : self._at]))
        return Leaf(value=self._meter.text(value, start, self._at), start=start, end=self._at)

    def _bad_string(self, start: int, end: int) -> InputError:
        match self._text[end : end + 1]:
            case "\\":
                return self._source.error(
                    "json-syntax", "unknown escape in a string", end, end + 2, hint='write "\\\\"'
                )
            case "":
                return self._source.error("json-syntax", "the string never ends", start)
            case _:
                return self._source.error(
                    "json-syntax",
                    "a string ends on the line it starts on",
                    start,
                    end,
                    hint='write a line break as "\\n", or use YAML for long texts',
                )

    def _bare(self) -> Leaf:
        start = self._at
        found = _NUMBER.match(self._text, start)
        word = _WORD.match(self._text, start)
        if found and (word is None or found.end() >= word.end()):
            self._at = found.end()
            whole = found.group(2) is None and found.group(3) is None
            number = self._meter.number(
                found.group(), base=10 if whole else 0, start=start, end=self._at
            )
            return Leaf(value=number, start=start, end=self._at)
        if word and word.group() in _LITERALS:
            self._at = word.end()
            return Leaf(value=_LITERALS[word.group()], start=start, end=self._at)
        raise self._wrong("a value")

    def _expect(self, mark: str, what: str) -> None:
        if self._peek() != mark:
            raise self._wrong(what)
        comma = self._at
        self._at += 1
        self._skip()
        if mark == "," and self._peek() in {"}", "]"}:
            raise self._source.error(
                "json-syntax", "JSON has no trailing comma", comma, hint="remove the comma"
            )

    def _wrong(self, what: str) -> InputError:
        start = self._at
        if start >= len(self._text):
            return self._source.error(
                "json-syntax", f"expected {what}, but the file ends", len(self._text)
            )
        found = _WORD.match(self._text, start)
        word = found.group() if found else self._text[start]
        hint = _HINTS.get(word, "")
        if word[0] in "/#":
            hint = "JSON has no comments; a key with the prefix x- may hold a note"
        elif word[0] == "'":
            hint = "JSON strings are in double quotes"
        return self._source.error(
            "json-syntax", f"expected {what} here", start, start + len(word), hint=hint
        )

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = self._at if found is None else found.end()
