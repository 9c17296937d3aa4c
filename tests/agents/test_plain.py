import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.agents.plain import plain


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"hello\tworld\n", "hello\tworld\n"),
        ("Grüße 你好 😀".encode(), "Grüße 你好 😀"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[2J\x1b[1;1Hhome", "home"),
        (b"\x1b]0;owned\x07x", "x"),
        (b"\x1b]8;;http://evil.test\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b]52;c;cm0gLXJmIH4=\x07paste", "paste"),
        (b"\x1bPq#0~~\x1b\\sixel", "sixel"),
        (b"\x1b(0\x1bclost", "lost"),
        (b"a\rb\r\nc\r\r\nd", "a\nb\nc\nd"),
        (b"bell\x07 back\x08 del\x7f", "bell\ufffd back\ufffd del\ufffd"),
        (b"\x9b31m", "\ufffd31m"),
        ("\u009b31m".encode(), "\ufffd31m"),
        ("a\u202eb\u200bc\u2066d".encode(), "a\ufffdb\ufffdc\ufffdd"),
        ("tag\U000e0041".encode(), "tag\ufffd"),
        (b"half \x1b[", "half \ufffd["),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_only_text_is_left(data: bytes, text: str) -> None:
    """Colours, cursor moves, titles, links, clipboard, bidi and invisible characters are gone."""
    assert plain(data) == text


@given(st.lists(st.sampled_from([b"\x1b", b"[", b"]", b"0", b";", b"\x07", b"\\", b"P", b"m"])))
def test_no_nesting_of_sequences_leaves_an_escape(parts: list[bytes]) -> None:
    """Taking one sequence out must not put another together."""
    assert "\x1b" not in plain(b"".join(parts))


@given(st.binary(max_size=300))
def test_no_bytes_leave_a_control_character(data: bytes) -> None:
    """Whatever comes in, only text, newlines and tabs go out."""
    text = plain(data)
    assert all(char in "\n\t" or unicodedata.category(char)[0] != "C" for char in text)
