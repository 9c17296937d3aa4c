"""Nothing hidden reaches a person's eye."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.control.visible import has_hidden, visible


def test_bidirectional_controls_are_spelled_out() -> None:
    """CVE-2021-42574: an override would show `exe.txt` for `txt.exe`."""
    assert visible("a\u202eb") == "a⟨U+202E⟩b"


def test_blank_letters_are_spelled_out() -> None:
    """A Hangul filler counts as a letter and draws nothing."""
    assert visible("a\u3164b\ufe0fc") == "a⟨U+3164⟩b⟨U+FE0F⟩c"


def test_terminal_escapes_and_line_ends_are_spelled_out() -> None:
    """An escape sequence must not recolour or overwrite the line above."""
    assert visible("\x1b[2K\r\n") == "⟨U+001B⟩[2K⟨U+000D⟩⟨U+000A⟩"


def test_ordinary_writing_is_left_alone() -> None:
    """Letters, marks, numbers and symbols of any script are what they are."""
    text = "Zürich, 東京 e\u0301 42 € 👍"
    assert visible(text) == text
    assert not has_hidden(text)


def test_what_is_cut_is_said() -> None:
    """A long value is cut after the limit, with the number of characters left out."""
    assert visible("abcdef", limit=2) == "ab… (4 more characters)"


@settings(deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_any_text_becomes_printable(text: str) -> None:
    """Every code point comes out encodable and in a printable category, surrogates too."""
    shown = visible(text)
    shown.encode("utf-8")
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert has_hidden(text) == (shown != text)
