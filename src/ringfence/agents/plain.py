"""Render an agent's bytes as text that cannot do anything to the reader's terminal.

Invariants:
1. The result has no control character but newline and tab, no escape sequence, no bidirectional
   or invisible format character (CVE-2021-42574, tag characters U+E0000-E007F).
2. Bytes that are not UTF-8 become U+FFFD; nothing raises; time is linear.
"""

import re
import unicodedata

# Well-formed sequences are dropped whole so that their parameters do not litter the line (ECMA-48).
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]{0,64}+[ -/]{0,16}+[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]{0,4096}+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{1,4}+[0-~]"
    r"|\x1b[0-Z\\-~]"
)
_LINE_END = re.compile(r"\r+\n")
_REPLACEMENT = "\ufffd"


def plain(data: bytes) -> str:
    """Give the bytes as harmless text; a lone carriage return starts a new line."""
    text = data.decode("utf-8", "replace")
    text = _SEQUENCE.sub("", text)
    text = _LINE_END.sub("\n", text).replace("\r", "\n")
    return "".join(map(_harmless, text)) if not (text.isascii() and text.isprintable()) else text


def _harmless(char: str) -> str:
    if char in "\n\t":
        return char
    # Controls, format characters (bidi, zero width, tags), surrogates, private use, unassigned,
    # and the two separators that some terminals treat as line ends.
    if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029":
        return _REPLACEMENT
    return char
