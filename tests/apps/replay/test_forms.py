import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.replay.forms import patterns, views

CORE = "aZ09kQ7xWmN4bV2cL8sD"


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_base64_is_found_whatever_stands_around_it(before: bytes, after: bytes) -> None:
    """The value in the middle of a longer encoded text is one of the three offset patterns."""
    text = base64.b64encode(before + CORE.encode() + after)
    assert any(pattern in text for name, pattern in patterns(CORE).items() if "base64+" in name)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_base32_is_found_whatever_stands_around_it(before: bytes, after: bytes) -> None:
    """The same for base32, which has five offsets."""
    text = base64.b32encode(before + CORE.encode() + after)
    assert any(pattern in text for name, pattern in patterns(CORE).items() if "base32+" in name)


def test_patterns_keep_enough_of_the_value() -> None:
    """No pattern is so short that it could be found by chance."""
    assert all(len(pattern) >= len(CORE) - 2 for pattern in patterns(CORE).values())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("unquoted", b"%61%5A09kQ7xWmN4bV2cL8sD"),
        ("html-unescaped", b"&#97;&#x5a;09kQ7xWmN4bV2cL8sD"),
        ("json-unescaped", b"\\u0061Z09kQ7xWmN4bV2cL8sD"),
        ("unfolded", b"aZ09kQ7xWm\r\n N4bV2cL8sD"),
    ],
)
def test_reversible_encodings_are_undone(name: str, data: bytes) -> None:
    """A value that is only partly encoded is found in the view with the encoding undone."""
    assert CORE.encode() not in data
    assert CORE.encode() in dict(views(data))[name]


def test_broken_gzip_is_no_error() -> None:
    """Bytes that only look like gzip are passed over."""
    assert [name for name, _ in views(b"\x1f\x8b\x08rubbish")] == [""]
