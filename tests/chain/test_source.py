"""The first gate of bytes, and positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError
from ringfence.chain.source import Source, decode


def fault(data: bytes, most: int = 1_000) -> tuple[str, str]:
    """Give code and place of the refusal of these bytes."""
    with pytest.raises(InputError) as caught:
        decode(data, file="f", most=most)
    return caught.value.code, str(caught.value.where)


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b"a: b\nc: \xff\n", "not-utf8", "f:2:4"),
        (b"\xc3\xa9\xc3\xa9\xc0\x80", "not-utf8", "f:1:3"),  # overlong NUL
        (b"\xed\xa0\x80", "not-utf8", "f:1:1"),  # a surrogate in UTF-8
        (b"\xff\xfea\x00", "not-utf8", "f:1:1"),  # UTF-16
        (b"\xef\xbb\xbfa: b", "byte-order-mark", "f:1:1"),
        (b"a\xef\xbb\xbf: b", "hidden-character", "f:1:2"),
        (b"a: \x00", "hidden-character", "f:1:4"),
        (b"a: \x1b[2J", "hidden-character", "f:1:4"),
        (b"a: \x7f", "hidden-character", "f:1:4"),
        ("a\r\nb: \x85".encode(), "hidden-character", "f:2:4"),
        ("a: \u2028".encode(), "hidden-character", "f:1:4"),
        ("a: \u202ex".encode(), "hidden-character", "f:1:4"),
        ("a: x\u2066".encode(), "hidden-character", "f:1:5"),
        (b"x" * 1_001, "file-too-large", "f:1:1"),
    ],
)
def test_bytes_that_are_no_plain_text_are_refused(data: bytes, code: str, place: str) -> None:
    """Each with the place of the first bad character."""
    assert fault(data) == (code, place)


def test_size_is_checked_before_anything_is_decoded() -> None:
    """A file that is too large and broken is too large."""
    assert fault(b"\xff" * 11, most=10)[0] == "file-too-large"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_newline_counts_as_one(newline: str) -> None:
    """Positions agree with an editor whatever the line ends are."""
    source = Source("f", newline.join(["one", "", "three"]))
    where = source.position(source.text.index("three") + 2)
    assert (where.line, where.column, where.text) == (3, 3, "three")


def test_the_width_ends_with_the_line() -> None:
    """A span over lines is underlined on its first."""
    where = Source("f", "ab cd\nef").position(3, 8)
    assert (where.column, where.width) == (4, 2)


@given(st.text(alphabet="ab\t\r\né"), st.integers(0, 30), st.integers(0, 30))
def test_positions_are_inside_the_file(text: str, start: int, length: int) -> None:
    """Whatever span is asked for, the caret is on the line or just after it."""
    where = Source("f", text).position(start, start + length)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert 1 <= where.line <= len(lines)
    assert where.text == lines[where.line - 1]
    assert 1 <= where.column <= len(where.text) + 1
    assert where.width >= 1
