"""What stands for a secret inside a box: a token that looks right and is worth nothing.

Invariants:
1. A placeholder shares with the value its length (20 to 512 characters), its published provider
   prefix and its class of alphabet, and nothing else; any other value gets a fixed form of our own.
2. Its last ten characters are a checksum over the rest, so every one of ours is recognised without
   a list. A random token passes by chance at a rate near 2^-33, worst case digits only.
3. It is plain ASCII that needs no escaping in a URL, a header, JSON or a shell.

The checksum is not a secret and proves no origin: a placeholder is honoured only where a
`ringfence.vault.lease.Lease` names it.
"""

import hashlib
import re
import string
from dataclasses import dataclass
from typing import Final

MIN_SHAPED: Final = 20
MAX_SHAPED: Final = 512
CHECK_CHARACTERS: Final = 10
MIN_RANDOM_CHARACTERS: Final = 6
OWN_PREFIX: Final = "rfph_"
OWN_LENGTH: Final = 40
RANDOM_BYTES: Final = 32

# Published by the providers so that scanners can tell the kind; no part of them is secret.
PREFIXES: Final = (
    "github_pat_", "sk-ant-api03-", "sk-ant-", "sk-proj-", "sk-or-v1-", "sk-", "sk_live_",
    "sk_test_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "glpat-", "xoxb-", "xoxp-", "xapp-",
    "AKIA", "ASIA", "AIza", "npm_", "pypi-", "hf_", "gsk_", "dop_v1_", "shpat_", "rk_live_",
    "rk_test_",
)  # fmt: skip

# Narrowest first: the first that covers the value is used.
ALPHABETS: Final = (
    string.digits,
    "0123456789abcdef",
    "0123456789ABCDEF",
    string.ascii_uppercase + "234567",
    string.ascii_uppercase + string.digits,
    string.ascii_lowercase + string.digits,
    string.ascii_letters + string.digits,
    string.ascii_letters + string.digits + "-_",
)
_BASE62: Final = ALPHABETS[6]

_RUN: Final = re.compile(rb"[A-Za-z0-9_-]{%d,}" % MIN_SHAPED)
# Where a token may begin inside a run: its start, a known prefix, or just after an escape whose
# letters would otherwise glue to it (%20, \n, \u000a).
_STARTS: Final = tuple(p.encode() for p in (*PREFIXES, OWN_PREFIX))
_ESCAPE: Final = re.compile(rb"%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One placeholder found in bytes: half-open range and the token."""

    start: int
    end: int
    token: str


def mint(value_shape: bytes, *, random: bytes) -> str:
    """Make a placeholder shaped like the value. The same ``random`` gives the same placeholder.

    Only the prefix, the length and the alphabet class of the value are looked at.

    Raises ValueError for fewer than 32 random bytes.
    """
    if len(random) < RANDOM_BYTES:
        raise ValueError("a placeholder needs 32 random bytes")
    prefix, length, alphabet = _shape(value_shape)
    count = length - len(prefix) - CHECK_CHARACTERS
    body = prefix + _spell(random, alphabet, count)
    return body + _checksum(_number(body), alphabet)


def looks_like_placeholder(token: str) -> bool:
    """Say whether the whole token is one of ours, whichever run it was made for."""
    if not MIN_SHAPED <= len(token) <= MAX_SHAPED or not token.isascii():
        return False
    body, check = token[:-CHECK_CHARACTERS], token[-CHECK_CHARACTERS:]
    number = _number(body)
    # The first letter settles nearly all; the rest of the sum is dear.
    return any(
        alphabet[number % len(alphabet)] == check[0] and _checksum(number, alphabet) == check
        for alphabet in ALPHABETS
    )


def find(data: bytes) -> list[Span]:
    """Find the placeholders that stand as tokens in the bytes, in order, without overlap.

    A token ends where letters, digits, ``-`` and ``_`` end, and begins where they begin, at a known
    prefix, or after a percent or backslash escape. One glued to other letters is not a token, and
    is not swapped either.
    """
    found: list[Span] = []
    for run in _RUN.finditer(data):
        for start in _starts(data, run.start(), run.end()):
            token = data[start : run.end()].decode("ascii")
            if looks_like_placeholder(token):
                found.append(Span(start=start, end=run.end(), token=token))
                break
    return found


def _starts(data: bytes, begin: int, end: int) -> list[int]:
    lowest = max(begin, end - MAX_SHAPED)
    starts = {begin}
    if begin and (escape := _ESCAPE.match(data, begin - 1)) is not None:
        starts.add(escape.end())
    for (
        prefix
    ) in _STARTS:  # one plain search each: a pattern of all of them takes five times as long
        at = data.find(prefix, lowest, end)
        while at >= 0:
            starts.add(at)
            at = data.find(prefix, at + 1, end)
    return sorted(start for start in starts if lowest <= start <= end - MIN_SHAPED)


def _shape(value: bytes) -> tuple[str, int, str]:
    own = (OWN_PREFIX, OWN_LENGTH, _BASE62)
    if not MIN_SHAPED <= len(value) <= MAX_SHAPED:
        return own
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        return own
    if not text.isprintable() or " " in text:
        return own
    prefix = next((known for known in PREFIXES if text.startswith(known)), "")
    if len(text) - len(prefix) - CHECK_CHARACTERS < MIN_RANDOM_CHARACTERS:
        return own
    rest = set(text[len(prefix) :])
    # Characters that a URL or a shell would need escaped are not imitated.
    return prefix, len(text), next((a for a in ALPHABETS if rest <= set(a)), _BASE62)


def _spell(random: bytes, alphabet: str, count: int) -> str:
    # Bytes past the largest multiple of the alphabet are thrown away, so no letter is likelier.
    limit = 256 - 256 % len(alphabet)
    stream = hashlib.shake_256(b"ringfence/placeholder/1/body" + random).digest(64 + 4 * count)
    letters = [alphabet[byte % len(alphabet)] for byte in stream if byte < limit]
    return "".join(letters[:count])


def _number(body: str) -> int:
    digest = hashlib.sha256(b"ringfence/placeholder/1/check" + body.encode()).digest()
    return int.from_bytes(digest, "big")


def _checksum(number: int, alphabet: str) -> str:
    letters = []
    for _ in range(CHECK_CHARACTERS):
        number, index = divmod(number, len(alphabet))
        letters.append(alphabet[index])
    return "".join(letters)
