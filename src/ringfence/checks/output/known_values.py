"""The automaton that recognises every form of every known value in one pass.

Invariants:
1. One step a byte whatever the number of values (Aho-Corasick), and no step ever goes back.
2. ``repr`` of a known value shows its name only.

Besides the values themselves it knows the parts that are secrets on their own: each long line of
a multi-line value (a PEM body) and the password inside a URL.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ringfence.checks.output.encodings import named_forms

# A line of a PEM body has 64 characters; shorter lines of a value may be ordinary words.
_SHORTEST_LINE = 24
# Length of the prefix by which text in which nothing starts is jumped over; no form is shorter.
ANCHOR = 4

_URL_PASSWORD = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@]{0,256}:([^\s/@]{6,512})@")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownValue:
    """One secret that must not leave: its name and its bytes."""

    name: str
    value: bytes = field(repr=False)

    def parts(self) -> Iterator[bytes]:
        """Give the value (blanks around it dropped) and the parts that are secret alone."""
        value = self.value.strip()
        yield value
        password = _URL_PASSWORD.match(value)
        if password is not None:
            yield password.group(1)
        lines = value.splitlines()
        if len(lines) > 1:
            for line in lines:
                stripped = line.strip()
                if len(stripped) >= _SHORTEST_LINE and not stripped.startswith(b"-----"):
                    yield stripped


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One pattern of the automaton: whose it is, how it is encoded, how long it is."""

    name: str
    encoding: str
    length: int


class Automaton:
    """Hold states numbered from 0 (the root); built once, shared by all streams."""

    __slots__ = ("_step", "anchor", "depth", "endings", "fail")

    def __init__(self, values: Sequence[KnownValue]) -> None:
        """Build from the values. Raises InputError for one too short or too long to look for."""
        self._step: dict[int, int] = {}
        self.depth: list[int] = [0]
        self.fail: list[int] = [0]
        self.endings: list[tuple[Form, ...]] = [()]
        self.anchor: re.Pattern[bytes] | None = None
        seen: dict[bytes, Form] = {}
        for value in values:
            for part in value.parts():
                for pattern, encoding in named_forms(part):
                    form = Form(name=value.name, encoding=encoding, length=len(pattern))
                    seen.setdefault(pattern, form)
        for pattern, form in seen.items():
            self._insert(pattern, form)
        self._link()
        if seen:
            heads = sorted({pattern[:ANCHOR] for pattern in seen})
            self.anchor = re.compile(_any_of(heads), re.DOTALL)

    def advance(self, state: int, byte: int) -> int:
        """Give the state after one more byte."""
        step = self._step
        while True:
            after = step.get(state << 8 | byte)
            if after is not None:
                return after
            if state == 0:
                return 0
            state = self.fail[state]

    @property
    def table(self) -> dict[int, int]:
        """Give the transitions (state << 8 | byte -> state) for the scanner's inner loop."""
        return self._step

    def _insert(self, pattern: bytes, form: Form) -> None:
        state = 0
        for byte in pattern:
            key = state << 8 | byte
            after = self._step.get(key)
            if after is None:
                after = len(self.depth)
                self._step[key] = after
                self.depth.append(self.depth[state] + 1)
                self.fail.append(0)
                self.endings.append(())
            state = after
        self.endings[state] = (form,)

    def _link(self) -> None:
        children: dict[int, list[tuple[int, int]]] = {}
        for key, after in self._step.items():
            children.setdefault(key >> 8, []).append((key & 0xFF, after))
        queue = deque(after for _, after in children.get(0, ()))
        while queue:
            state = queue.popleft()
            self.endings[state] += self.endings[self.fail[state]]
            for byte, after in children.get(state, ()):
                self.fail[after] = self.advance(self.fail[state], byte)
                queue.append(after)


def _any_of(words: Sequence[bytes]) -> bytes:
    """Give a regular expression for the words that tries each first byte once (a trie)."""
    tails: dict[int, list[bytes]] = {}
    for word in words:
        tails.setdefault(word[0], []).append(word[1:])
    branches = []
    for first, rest in tails.items():
        literal = re.escape(bytes([first]))
        branches.append(literal if b"" in rest else literal + _any_of(rest))
    return branches[0] if len(branches) == 1 else b"(?:" + b"|".join(branches) + b")"
