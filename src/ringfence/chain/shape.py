"""What a place in a file may hold, as data.

The same shapes give the walk that checks a file (``walk``) and the JSON Schema (``schema``), so
an editor and `parse` agree. Rules that need more than one place (a secret and its route) are in
``build``, ``reach`` and ``flow``.
"""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeAlias

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text that matches ``pattern`` as a whole; ``says`` tells a person what is expected."""

    says: str
    pattern: str = ""
    longest: int = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a few words."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number in a range."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """Whole seconds, or text such as ``10m``; the range is in seconds."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """Distinct things of one shape; with ``lone``, a single one needs no list."""

    item: "Shape"
    least: int = 0
    most: int
    lone: bool = False
    repeats: bool = False
    instead_of_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf:
    """Names of the author's choice with values of one shape."""

    key: Text
    value: "Shape"
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """A mapping that is kept as it is."""

    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One known name in a record. ``refused`` says why it is known and yet not taken."""

    name: str
    doc: str
    shape: "Shape" = field(default_factory=lambda: Free(says="anything"))
    required: bool = False
    alias: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A mapping of known fields; ``shorthand`` is the text that may stand for it."""

    what: str
    fields: tuple[Field, ...]
    shorthand: Text | None = None
    no_shorthand: str = ""


Shape: TypeAlias = Text | Choice | Whole | Duration | ListOf | MapOf | Free | Record


def seconds(value: int | str) -> int:
    """Give the seconds of a checked duration."""
    if isinstance(value, int):
        return value
    number, unit = value[:-1], value[-1]
    return int(number) * _UNITS[unit]


def nearest(name: str, names: tuple[str, ...]) -> str:
    """Give the known name most like this one, or nothing; case and separators do not count."""
    plain = {re.sub(r"[-_. ]", "", known).lower(): known for known in reversed(names)}
    close = get_close_matches(re.sub(r"[-_. ]", "", name[:80]).lower(), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else ""
