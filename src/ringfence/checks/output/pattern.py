r"""Match the regular expressions of an output schema in linear time.

A schema's ``pattern`` is applied to text a hostile agent chose, and Python's matcher backtracks:
``(a|a)*b`` against 40 letters takes hours (CWE-1333). This one keeps the set of states it could
be in and goes through the text once, whatever the pattern.

Invariants:
1. Time is at most states x characters; a pattern has at most `MOST_STATES` states.
2. What is not in the supported grammar is refused when the schema is read, never ignored.

Grammar (the common part of ECMA 262 that schemas use): literals, ``.``, classes with ranges and
negation, ``\d \w \s`` and their negations, escapes, ``( ) (?: ) |``, ``* + ? {n} {n,} {n,m}``,
``^`` and ``$``. Not: look-around, back references, ``\b``, lazy repeats, Unicode properties.
As in JSON Schema, a pattern matches when it matches anywhere in the text.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

MOST_STATES = 2_000
LONGEST_PATTERN = 1_000
_CACHE = 5_000

_DIGITS = ((48, 57),)
_WORD = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE = ((9, 13), (32, 32), (160, 160), (0x2028, 0x2029), (0xFEFF, 0xFEFF))
_NAMED = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_LINE_ENDS = ((10, 10), (13, 13), (0x2028, 0x2029))
_LAST = 0x10FFFF


class UnsupportedPattern(ValueError):  # noqa: N818 - states the condition
    """The pattern uses something outside the supported grammar; the text says what."""


@dataclass(frozen=True, slots=True)
class _Chars:
    ranges: tuple[tuple[int, int], ...]
    negated: bool = False

    def has(self, char: str) -> bool:
        code = ord(char)
        return any(low <= code <= high for low, high in self.ranges) != self.negated


@dataclass(frozen=True, slots=True)
class _Edge:
    """The start (``^``) or the end (``$``) of the text."""

    at_end: bool


@dataclass(frozen=True, slots=True)
class _Sequence:
    items: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    options: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    item: "_Node"
    least: int
    most: int | None


_Node = _Chars | _Edge | _Sequence | _Choice | _Repeat


class LinearPattern:
    """A compiled pattern. Raises UnsupportedPattern for one outside the grammar or the bounds."""

    def __init__(self, source: str) -> None:
        if len(source) > LONGEST_PATTERN:
            raise UnsupportedPattern(f"a pattern is longer than {LONGEST_PATTERN} characters")
        program = _Program()
        accept = program.add()
        self._start = program.compile(_Parser(source).parse(), accept)
        self._accept = accept
        self._program = program
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def found_in(self, text: str) -> bool:
        """Say whether the pattern matches somewhere in the text."""
        states = self._close({self._start}, at_start=True, at_end=not text)
        for number, char in enumerate(text):
            if self._accept in states:
                return True
            last = number == len(text) - 1
            states = self._step(states, char, last=last)
        return self._accept in states

    def _step(self, states: frozenset[int], char: str, *, last: bool) -> frozenset[int]:
        key = (states, char)
        if not last and key in self._steps:
            return self._steps[key]
        program = self._program
        moved = {
            program.target[state]
            for state in states
            if (chars := program.chars[state]) is not None and chars.has(char)
        }
        # The pattern may also begin after this character.
        after = self._close(moved | {self._start}, at_start=False, at_end=last)
        if not last:
            if len(self._steps) >= _CACHE:
                self._steps.clear()
            self._steps[key] = after
        return after

    def _close(self, states: Iterable[int], *, at_start: bool, at_end: bool) -> frozenset[int]:
        """Follow what needs no character."""
        program = self._program
        seen: set[int] = set()
        stack = list(states)
        while stack:
            state = stack.pop()
            if state in seen:
                continue
            edge = program.edge[state]
            if edge is not None:
                if at_end if edge.at_end else at_start:
                    stack.append(program.target[state])
                # Kept out of the set unless the edge holds here; the next step asks again.
                continue
            seen.add(state)
            stack.extend(program.jumps[state])
        return frozenset(seen)


@dataclass(slots=True)
class _Program:
    """States as parallel lists: a character to eat, an edge to stand at, or free jumps."""

    chars: list[_Chars | None] = field(default_factory=list)
    edge: list[_Edge | None] = field(default_factory=list)
    target: list[int] = field(default_factory=list)
    jumps: list[tuple[int, ...]] = field(default_factory=list)
    visits: int = 0

    def add(
        self,
        *jumps: int,
        chars: _Chars | None = None,
        edge: _Edge | None = None,
        target: int = 0,
    ) -> int:
        if len(self.jumps) >= MOST_STATES:
            raise UnsupportedPattern(f"a pattern needs more than {MOST_STATES} states")
        self.chars.append(chars)
        self.edge.append(edge)
        self.target.append(target)
        self.jumps.append(jumps)
        return len(self.jumps) - 1

    def compile(self, node: _Node, after: int) -> int:
        """Give the state from which ``node`` and then ``after`` is matched."""
        # Repeats of nothing make no states, so the work is counted as well.
        self.visits += 1
        if self.visits > 10 * MOST_STATES:
            raise UnsupportedPattern(f"a pattern needs more than {MOST_STATES} states")
        match node:
            case _Chars():
                return self.add(chars=node, target=after)
            case _Edge():
                return self.add(edge=node, target=after)
            case _Sequence():
                for item in reversed(node.items):
                    after = self.compile(item, after)
                return after
            case _Choice():
                return self.add(*[self.compile(option, after) for option in node.options])
            case _Repeat():
                return self._repeat(node, after)
            case _:
                assert_never(node)

    def _repeat(self, node: _Repeat, after: int) -> int:
        if node.most is None:
            loop = self.add()
            body = self.compile(node.item, loop)
            self.jumps[loop] = (body, after)
            after = loop
        else:
            out = after
            for _ in range(node.most - node.least):
                after = self.add(self.compile(node.item, after), out)
        for _ in range(node.least):
            after = self.compile(node.item, after)
        return after


class _Parser:
    """Recursive descent over the grammar in the module's text."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0

    def parse(self) -> _Node:
        node = self._choice()
        if self._at < len(self._source):
            raise UnsupportedPattern("a pattern has an unmatched )")
        return node

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise UnsupportedPattern("a pattern ends too early")
        self._at += 1
        return char

    def _take(self, text: str) -> bool:
        if self._source.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _choice(self) -> _Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _sequence(self) -> _Node:
        items: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated(self._atom()))
        return _Sequence(tuple(items))

    def _repeated(self, item: _Node) -> _Node:
        char = self._peek()
        if char in ("", "|", ")") or char not in "*+?{":
            return item
        if isinstance(item, _Edge):
            raise UnsupportedPattern("^ and $ cannot be repeated")
        self._at += 1
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(char) or self._bounds()
        if self._peek() in ("*", "+", "?", "{"):
            raise UnsupportedPattern("lazy, possessive and doubled repeats are not supported")
        return _Repeat(item, least, most)

    def _bounds(self) -> tuple[int, int | None]:
        least = self._number()
        most: int | None = least
        if self._take(","):
            most = None if self._peek() == "}" else self._number()
        if not self._take("}") or (most is not None and most < least):
            raise UnsupportedPattern("a { is not followed by a repeat such as {2,5}")
        return least, most

    def _number(self) -> int:
        digits = ""
        while self._peek() in tuple("0123456789"):
            digits += self._next()
        if not digits or len(digits) > 4:
            raise UnsupportedPattern("a { is not followed by a repeat such as {2,5}")
        return int(digits)

    def _atom(self) -> _Node:
        char = self._next()
        match char:
            case "^" | "$":
                return _Edge(at_end=char == "$")
            case ".":
                return _Chars(_LINE_ENDS, negated=True)
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                raise UnsupportedPattern(f"nothing stands before {char}")
        return _Chars(((ord(char), ord(char)),))

    def _group(self) -> _Node:
        if self._take("?") and not self._take(":"):
            raise UnsupportedPattern("look-around and named groups are not supported")
        self._depth += 1
        if self._depth > 50:
            raise UnsupportedPattern("groups are nested deeper than 50")
        node = self._choice()
        self._depth -= 1
        if not self._take(")"):
            raise UnsupportedPattern("a ( is not closed")
        return node

    def _escape(self) -> _Chars:
        char = self._next()
        if char.lower() in _NAMED:
            return _Chars(_NAMED[char.lower()], negated=char.isupper())
        code = ord(self._literal(char))
        return _Chars(((code, code),))

    def _literal(self, char: str) -> str:
        """Give the character that a backslash and ``char`` stand for."""
        if char in _CONTROL:
            return _CONTROL[char]
        if char in ("x", "u"):
            size = 2 if char == "x" else 4
            digits = self._source[self._at : self._at + size]
            if len(digits) < size or any(d not in "0123456789abcdefABCDEF" for d in digits):
                raise UnsupportedPattern("an escape has too few digits")
            self._at += size
            return chr(int(digits, 16))
        if char.isalnum():
            raise UnsupportedPattern(f"the escape \\{char} is not supported")
        return char

    def _class(self) -> _Chars:
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        while not self._take("]"):
            low = self._member()
            if len(low) != 1 or low[0][0] != low[0][1] or not self._range_follows():
                ranges.extend(low)
                continue
            self._at += 1
            high = self._member()
            if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                raise UnsupportedPattern("a class has a range that ends before it starts")
            ranges.append((low[0][0], high[0][0]))
        return _Chars(tuple(ranges), negated=negated)

    def _range_follows(self) -> bool:
        return self._peek() == "-" and self._source[self._at + 1 : self._at + 2] not in ("", "]")

    def _member(self) -> tuple[tuple[int, int], ...]:
        char = self._next()
        if char != "\\":
            return ((ord(char), ord(char)),)
        char = self._next()
        if char.lower() in _NAMED:
            named = _NAMED[char.lower()]
            return _complement(named) if char.isupper() else named
        code = 8 if char == "b" else ord(self._literal(char))
        return ((code, code),)


def _complement(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    edges = [-1, *(edge for low, high in ranges for edge in (low, high)), _LAST + 1]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((low + 1, high - 1) for low, high in pairs)
