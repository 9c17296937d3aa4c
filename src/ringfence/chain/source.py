"""The text of one file: decoded, bounded, and able to say where every character stands.

Owns the first gate that bytes from outside pass. Invariants:
1. The size is checked before a single byte is decoded.
2. A `Source` holds only characters that look like what they are: strict UTF-8 without byte order
   mark, control characters, line separators other than CR and LF, or bidirectional controls
   (a reviewer must see what is parsed: CVE-2021-42574). An escape in a quoted string can still
   say such a character where a value may hold it.
3. Every `InputError` made here carries a position inside the file.

It knows nothing of JSON, YAML or chains.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass

from ringfence.chain.errors import InputError, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one chain file may weigh; see docs/rooms/chain.md for the measurements.

    YAML gets less than JSON because its pure scanner takes about 1 µs for a character and 20 µs
    for a value: this much is what a refusal within 100 ms allows.
    """

    json_bytes: int = 256 * 1024
    yaml_bytes: int = 48 * 1024
    json_values: int = 12_000  # a busy agent takes about 40 keys and values
    yaml_values: int = 3_000
    depth: int = 32  # an output schema is the only thing that nests; 32 is far beyond use
    keys: int = 256  # in one mapping
    key_characters: int = 256
    number_characters: int = 32  # int() of a long literal is quadratic (CVE-2020-10735)


LIMITS = Limits()

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1 controls but tab, LF, CR
    "\u2028\u2029\ufeff\ufffe\uffff"  # separators some tools count as lines; byte order mark
    "\u202a-\u202e\u2066-\u2069]"  # bidirectional embeddings, overrides and isolates
)


class Source:
    """A decoded file that turns character offsets into positions."""

    __slots__ = ("_lines", "_starts", "file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._starts = [0, *(match.end() for match in _LINE_BREAK.finditer(text))]
        self._lines: dict[int, str] = {}

    def position(self, start: int, end: int | None = None) -> Position:
        """Give the place of a span; its width ends with the first line."""
        start = min(start, len(self.text))
        number = bisect_right(self._starts, start)
        begin = self._starts[number - 1]
        line = self._line(number)
        column = min(start - begin, len(line))
        width = min((start + 1 if end is None else end) - begin, len(line)) - column
        return Position(
            file=self.file, line=number, column=column + 1, width=max(width, 1), text=line
        )

    def error(
        self, code: str, message: str, start: int, end: int | None = None, *, hint: str = ""
    ) -> InputError:
        """Build an error that points at a span of this file."""
        return InputError(code, message, hint=hint, where=self.position(start, end))

    def _line(self, number: int) -> str:
        # One string per line, shared by all positions on it: a minified file is one long line.
        if number not in self._lines:
            start = self._starts[number - 1]
            end = self._starts[number] if number < len(self._starts) else len(self.text)
            self._lines[number] = self.text[start:end].rstrip("\r\n")
        return self._lines[number]


def decode(data: bytes, *, file: str, most: int, hint: str = "") -> Source:
    """Turn bytes into a source of at most ``most`` bytes.

    Raises InputError: file-too-large, not-utf8, byte-order-mark, hidden-character.
    """
    if len(data) > most:
        raise Source(file, "").error(
            "file-too-large",
            f"the file has {len(data)} bytes, the limit is {most}",
            0,
            hint=hint,
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise Source(file, before + "\N{REPLACEMENT CHARACTER}").error(
            "not-utf8",
            f"byte 0x{data[error.start]:02x} is not valid UTF-8 here",
            len(before),
            hint="save the file as UTF-8",
        ) from None
    source = Source(file, text)
    if (found := _REFUSED.search(text)) is None:
        return source
    if found.group() == "\ufeff" and found.start() == 0:
        raise source.error(
            "byte-order-mark",
            "the file starts with a byte order mark",
            0,
            hint="save the file as UTF-8 without a byte order mark",
        )
    raise source.error(
        "hidden-character",
        f"the character U+{ord(found.group()):04X} is not allowed in a chain file",
        found.start(),
        hint="remove it; a quoted string can say a visible character as an escape",
    )
