"""Read JSON that came from an agent: bounded, unambiguous, or not at all.

Invariants:
1. One text has one reading: duplicate keys, NaN, infinity, trailing data, a byte order mark and
   half surrogate pairs are refused, because two readers could take them differently (RFC 8259).
2. Size and depth are checked before the parser runs; no input makes it recurse or grow without
   bound.
3. An error never quotes the input.
"""

import json
import math
import re
from typing import NoReturn

from ringfence.chain.words import Json

_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)

LONGEST_NUMBER = 64


class NotStrictJson(ValueError):  # noqa: N818 - states the condition
    """The bytes are not JSON in the strict sense; the text says why in a few words."""


def read_json(data: bytes, *, max_bytes: int, max_depth: int) -> Json:
    """Give the value the bytes stand for.

    Raises NotStrictJson when they are too long, too deep, ambiguous or no JSON.
    """
    if len(data) > max_bytes:
        raise NotStrictJson(f"longer than {max_bytes} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrictJson("not UTF-8") from None
    if text.startswith("\ufeff"):
        raise NotStrictJson("starts with a byte order mark")
    _check_depth(text, max_depth)
    try:
        value: Json = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        message = f"not JSON (line {error.lineno}, column {error.colno})"
        raise NotStrictJson(message) from None
    _check_text(text, value)
    return value


def _check_depth(text: str, most: int) -> None:
    depth = 0
    for token in _STRUCTURE.finditer(text):
        if token.group() in "[{":
            depth += 1
            if depth > most:
                raise NotStrictJson(f"nested deeper than {most}")
        elif token.group() in "]}":
            depth -= 1


def _check_text(text: str, value: Json) -> None:
    # Only an escape can make a half pair: UTF-8 itself cannot hold one.
    if "\\u" not in text:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise NotStrictJson("half a surrogate pair in a string") from None


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise NotStrictJson("a key stands twice in one object")
    return result


def _constant(_: str) -> NoReturn:
    raise NotStrictJson("NaN and infinity are no JSON numbers")


def _float(text: str) -> float:
    value = float(text) if len(text) <= LONGEST_NUMBER else math.inf
    if not math.isfinite(value):
        raise NotStrictJson("a number is too long or too large")
    return value


def _int(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise NotStrictJson("a number is too long or too large")
    return int(text)
