import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.checks.strict_json import NotStrictJson, read_json


def read(data: bytes) -> object:
    """Read with small bounds."""
    return read_json(data, max_bytes=10_000, max_depth=8)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b'[{"a":{"b":1,"b":1}}]', "twice"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "NaN"),
        (b"[-Infinity]", "NaN"),
        (b"1e999", "too large"),
        (b"1" * 65, "too long"),
        (b"1." + b"1" * 65, "too long"),
        (b"[" * 9 + b"]" * 9, "deeper"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "deeper"),
        (b"[" * 9_000, "deeper"),
        (b'"' + b"x" * 10_000 + b'"', "longer"),
        (b"\xff", "UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b"{} {}", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b"", "not JSON"),
        (b'"unfinished', "not JSON"),
        (b"[1,]", "not JSON"),
    ],
)
def test_ambiguous_or_unbounded_text_is_refused(data: bytes, why: str) -> None:
    """What two readers could take differently is not read at all."""
    with pytest.raises(NotStrictJson, match=why):
        read(data)


def test_brackets_in_strings_are_not_depth() -> None:
    """Only structure counts."""
    assert read(b'["[[[[[[[[[[[[[[\\"[[[["]') == ['[[[[[[[[[[[[[["[[[[']


def test_a_whole_surrogate_pair_is_text() -> None:
    """An escaped emoji is fine."""
    assert read(b'"\\ud83d\\ude00"') == "\U0001f600"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(JSON)
def test_ordinary_json_is_read_as_everybody_reads_it(value: object) -> None:
    """Within the bounds nothing is lost."""
    data = json.dumps(value).encode()
    assert read_json(data, max_bytes=1_000_000, max_depth=64) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No other exception comes out."""
    with contextlib.suppress(NotStrictJson):
        read(data)
