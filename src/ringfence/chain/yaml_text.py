"""The part of YAML 1.2 a chain file needs, read from ruamel's pure scanner as a stream of events.

Invariants:
1. No object is ever constructed by the library: only its scanner and event parser run, and
   plain scalars are resolved here by the core schema of YAML 1.2 (section 10.3.2), so ``no``
   and ``on`` are text.
2. Anchors, aliases, tags and directives are refused by the scanner itself the moment their first
   character is met; there is nothing a "billion laughs" could be written with.
3. A fault inside the library is a refusal at the place it had reached, never another exception.

Left out on purpose: merge keys, several documents, complex keys, and numbers that YAML 1.1 and
1.2 read differently.
"""

import re

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.parser import Parser
from ruamel.yaml.reader import Reader
from ruamel.yaml.scanner import Scanner

from ringfence.chain.errors import InputError
from ringfence.chain.node import Entry, Items, Leaf, Meter, Node, Plain, Table
from ringfence.chain.source import Limits, Source

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*+)")
_FRACTION = re.compile(
    r"[-+]?(?:\.[0-9]++|(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?+)(?:[eE][-+]?[0-9]++)?+"
)
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# Octal, hexadecimal and leading zeros: YAML 1.1 and 1.2 (and JSON) give different numbers.
_AMBIGUOUS = re.compile(r"[-+]?0(?:[0-9]++|x[0-9a-fA-F]++|o[0-7]++)")


def read_yaml(source: Source, limits: Limits) -> Node:
    """Read one YAML document. Raises InputError at the first thing refused or too much."""
    meter = Meter(source, limits, most=limits.yaml_values)
    events = _Events(source, meter)
    try:
        return _Builder(source, meter, events).document()
    except InputError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = events.index if mark is None else mark.index
        message = str(error.problem or error.context or "not valid YAML")
        raise source.error("yaml-syntax", _one_line(message), at) from None
    except (YAMLError, ArithmeticError, AttributeError, AssertionError, LookupError, ValueError):
        # Seen from the library on broken input: an escape beyond U+10FFFF, a lone directive.
        raise source.error("yaml-syntax", "not valid YAML", events.index) from None


def _one_line(message: str) -> str:
    return " ".join(message.encode("unicode_escape").decode("ascii").split())[:160]


class _Events(Reader, Scanner, Parser):
    """The library's reader, scanner and parser, without the syntax that makes bombs."""

    processing_version = (1, 2)

    def __init__(self, source: Source, meter: Meter) -> None:
        self.comment_handling = None
        self._resolver = self
        self._source = source
        self._meter = meter
        Reader.__init__(self, source.text, loader=self)
        Scanner.__init__(self, loader=self)
        Parser.__init__(self, loader=self)

    def fetch_anchor(self) -> None:
        """Refuse ``&name``."""
        raise self._refused("yaml-anchor", "anchors and aliases are not allowed in a chain file")

    def fetch_alias(self) -> None:
        """Refuse ``*name``."""
        raise self._refused(
            "yaml-alias",
            "anchors and aliases are not allowed in a chain file",
            hint='write the value out, or in quotes if "*" is meant as text',
        )

    def fetch_tag(self) -> None:
        """Refuse ``!name``."""
        raise self._refused("yaml-tag", "tags are not allowed in a chain file")

    def fetch_directive(self) -> None:
        """Refuse ``%NAME``."""
        raise self._refused("yaml-directive", "directives are not allowed in a chain file")

    def fetch_flow_collection_start(self, TokenClass: type, to_push: str) -> None:  # noqa: N803 - the library's name
        """Refuse brackets too deep before the scanner looks ahead of them."""
        self._meter.deeper(self.flow_level, self.index)
        super().fetch_flow_collection_start(TokenClass, to_push)

    def _refused(
        self, code: str, message: str, *, hint: str = "write the value out, or in quotes"
    ) -> InputError:
        return self._source.error(code, message, self.index, hint=hint)


class _Builder:
    def __init__(self, source: Source, meter: Meter, events: _Events) -> None:
        self._source = source
        self._meter = meter
        self._events = events

    def document(self) -> Node:
        self._next()
        first = self._next()
        if isinstance(first, StreamEndEvent):
            raise self._source.error("empty-file", "the file is empty", 0)
        node = self._node(self._next(), 0)
        self._next()
        last = self._next()
        if isinstance(last, DocumentStartEvent):
            raise self._source.error(
                "yaml-documents",
                "a chain file holds one document",
                last.start_mark.index,
                hint="put the second chain in its own file",
            )
        return node

    def _next(self) -> Event:
        event = self._events.get_event()
        if not isinstance(event, Event):
            raise self._source.error("yaml-syntax", "not valid YAML", self._events.index)
        return event

    def _node(self, event: Event, depth: int) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        self._meter.node(start)
        match event:
            case ScalarEvent():
                return self._leaf(event)
            case SequenceStartEvent():
                return self._items(start, end, self._meter.deeper(depth, start))
            case MappingStartEvent():
                return self._table(start, end, self._meter.deeper(depth, start))
            case _:
                raise self._source.error("yaml-syntax", "expected a value here", start)

    def _items(self, start: int, end: int, depth: int) -> Items:
        items: list[Node] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, depth))
        return Items(items=tuple(items), start=start, end=max(end, event.end_mark.index))

    def _table(self, start: int, end: int, depth: int) -> Table:
        entries: dict[str, Entry] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._key(event, entries)
            name = str(key.value)
            entries[name] = Entry(name=name, key=key, value=self._node(self._next(), depth))
        return Table(entries=entries, start=start, end=max(end, event.end_mark.index))

    def _key(self, event: Event, entries: dict[str, Entry]) -> Leaf:
        start, end = event.start_mark.index, event.end_mark.index
        self._meter.node(start)
        if not isinstance(event, ScalarEvent):
            raise self._source.error("key-not-text", "a key has to be text", start)
        key = self._leaf(event)
        if key.value == "<<" and not event.style:
            raise self._source.error(
                "yaml-merge", "merge keys are not allowed in a chain file", start, end
            )
        self._meter.key(key.value, entries, start, end)
        return key

    def _leaf(self, event: ScalarEvent) -> Leaf:
        start, end = event.start_mark.index, event.end_mark.index
        value: Plain = str(event.value)
        if event.style:
            self._meter.text(str(event.value), start, end)
        else:
            value = self._resolve(str(event.value), start, end)
        return Leaf(value=value, start=start, end=end)

    def _resolve(self, text: str, start: int, end: int) -> Plain:
        if text in _NULL:
            return None
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        if _WHOLE.fullmatch(text):
            return self._meter.number(text, base=10, start=start, end=end)
        if _FRACTION.fullmatch(text):
            return self._meter.number(text, base=0, start=start, end=end)
        if _NO_NUMBER.fullmatch(text) or _AMBIGUOUS.fullmatch(text):
            raise self._source.error(
                "number-ambiguous",
                "this is a number that not every reader reads alike",
                start,
                end,
                hint="write it in quotes if it is meant as text, or as a plain decimal number",
            )
        return text
