"""Strict decoding: whatever is not exactly a record of ours is refused."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError
from ringfence.engine import codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A nested record."""

    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """One field of every kind."""

    text: str
    flag: bool
    count: int
    seconds: float
    words: tuple[str, ...]
    inners: tuple[Inner, ...]


TABLE = {"outer": Outer, "inner": Inner}
GOOD = {
    "kind": "outer", "text": "t", "flag": True, "count": 1, "seconds": 0.5,
    "words": ["a"], "inners": [{"word": "b"}],
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def test_a_record_comes_back_as_it_went() -> None:
    """Encoding and decoding are each other's inverse."""
    record = codec.decode(GOOD, TABLE, "kind")
    assert codec.encode(record, TABLE, "kind") == GOOD


def test_a_whole_number_of_seconds_is_a_float() -> None:
    """JSON does not tell 1 from 1.0."""
    assert codec.decode({**GOOD, "seconds": 3}, TABLE, "kind").seconds == 3.0


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"}, {"kind": 1}, {"extra": 1}, {"text": 1}, {"text": "x" * 4_097},
        {"flag": 1}, {"count": True}, {"count": -1}, {"count": 2**31 + 1}, {"count": 1.0},
        {"seconds": -1.0}, {"seconds": float("nan")}, {"seconds": float("inf")},
        {"seconds": True}, {"seconds": 1e12}, {"words": "a"}, {"words": [1]},
        {"words": ["a"] * 257}, {"inners": [{"word": 1}]}, {"inners": [{}]}, {"inners": ["b"]},
        {"inners": [{"word": "b", "more": 1}]},
    ],
)  # fmt: skip
def test_one_wrong_field_refuses_the_record(change: dict[str, object]) -> None:
    """Types are exact and sizes bounded."""
    with pytest.raises(InputError) as error:
        codec.decode({**GOOD, **change}, TABLE, "kind")
    assert error.value.code == "kind-invalid"


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_a_missing_field_refuses_the_record(missing: str) -> None:
    """Nothing is defaulted."""
    with pytest.raises(InputError):
        codec.decode({k: v for k, v in GOOD.items() if k != missing}, TABLE, "kind")


@given(JSON)
def test_arbitrary_json_is_refused_and_never_crashes(value: object) -> None:
    """No value but a record's own raises anything but InputError."""
    with pytest.raises(InputError):
        codec.decode(value, TABLE, "kind")


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON))
def test_a_changed_record_decodes_to_itself_or_is_refused(change: dict[str, object]) -> None:
    """There is no third way."""
    value = {**GOOD, **change}
    try:
        record = codec.decode(value, TABLE, "kind")
    except InputError:
        return
    assert codec.encode(record, TABLE, "kind") == value
