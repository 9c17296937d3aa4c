"""The shape of a rule for one kind of credential, and the helpers rules share.

Invariants:
1. A rule is tried only where one of its keywords stands; its pattern starts there, has only
   bounded, possessive repeats, and so costs a bounded time for each keyword.
2. A rule carries two or more samples it must report and two or more it must not.
3. Samples of credentials are put together from pieces, so that no scanner (ours included) takes
   this source for a leak.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ringfence.checks.finding import Severity

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# Where a token may begin: not inside a longer word, but right after an escape, whose last letter
# is no part of the word: JSON's backslash-n, a percent code, a terminal colour.
BOUNDARY = (
    rb"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbf])|(?<=\\u00[0-9a-fA-F]{2})|(?<=%[0-9a-fA-F]{2})"
    rb"|(?<=\x1b\[[0-9]m)|(?<=\x1b\[[0-9]{2}m))"
)

_PLACEHOLDER = re.compile(
    rb"(?:x{4,}|\xe2\x80\xa6|\*{3,}|\.{3,}|0{8,}|1{8,}|a{8,}|1234567890|abcdefgh"
    rb"|example|placeholder|change_?me|your[-_ ]|dummy|redacted|fake|sample|insert)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One text with what it shows."""

    text: bytes
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRule:
    """One kind of credential.

    ``pattern`` begins at a keyword (found in lower case when ``any_case``); a group named
    ``value``, if there is one, is the secret itself. ``confirm`` looks at the match and gives the
    severity, or None when it is no credential.
    """

    id: str
    title: str
    why: str
    fix: str
    keywords: tuple[bytes, ...]
    any_case: bool = False
    pattern: re.Pattern[bytes]
    confirm: Callable[[re.Match[bytes]], Severity | None]
    bad: tuple[Sample, ...]
    good: tuple[Sample, ...]


def entropy(text: bytes) -> float:
    """Give the Shannon entropy in bits a byte."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())


def looks_made_up(text: bytes) -> bool:
    """Say whether the text is a placeholder a person wrote rather than a random value."""
    return _PLACEHOLDER.search(text.lower()) is not None or len(set(text)) < 6


def random_enough(severity: Severity) -> Callable[[re.Match[bytes]], Severity | None]:
    """Give a confirmation that only asks that the matched value is not a placeholder."""

    def confirm(match: re.Match[bytes]) -> Severity | None:
        return None if looks_made_up(match.group("value")) else severity

    return confirm


def crc32_base62(text: bytes) -> bytes:
    """Give the checksum GitHub and npm put at the end of a token: CRC-32, base 62, six digits."""
    number = zlib.crc32(text)
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.encode()
