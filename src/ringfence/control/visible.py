"""Text from an agent as a person may safely look at it: nothing hidden, nothing that reorders.

Invariants:
1. The result holds only printable characters and plain spaces: control, format (zero-width,
   bidirectional, tag), private-use, unassigned and surrogate code points and odd white space come
   out as ``⟨U+XXXX⟩``.
2. It can always be encoded as UTF-8, and it is never longer than ``limit`` characters plus the
   note that says how much was left out.
3. It is not escaping: whoever writes HTML or a terminal still escapes for that medium.

Invisible text is how instructions and look-alike names are smuggled past a reader
(CVE-2021-42574 "Trojan Source" for the bidirectional controls).
"""

import unicodedata

LIMIT = 2_000
"""Characters of one value that are shown; a value is a name, a path, a reason, not a document."""

_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
# Marked as letters or symbols by Unicode, yet they draw nothing.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5") | frozenset(
    chr(point) for point in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
)


def visible(text: str, *, limit: int = LIMIT) -> str:
    """Give the text with every hidden character spelled out, cut after ``limit`` characters."""
    kept = "".join(_mark(char) for char in text[:limit])
    left = len(text) - limit
    return f"{kept}… ({left} more characters)" if left > 0 else kept


def has_hidden(text: str) -> bool:
    """Say whether `visible` would spell out any character of this text."""
    return any(_mark(char) != char for char in text)


def _mark(char: str) -> str:
    if char == " ":
        return char
    kind = unicodedata.category(char)
    if kind in _HIDDEN or kind == "Zs" or char in _BLANK:
        return f"⟨U+{ord(char):04X}⟩"
    return char
