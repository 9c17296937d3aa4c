"""Canonical JSON: one value, one byte form."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.canonical import canonical_json, digest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(VALUES)
def test_reading_the_bytes_gives_the_value(value: object) -> None:
    """Nothing is lost, and reading and writing again gives the same bytes."""
    data = canonical_json(value)  # type: ignore[arg-type]
    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data


def test_the_order_of_keys_does_not_count() -> None:
    """Two equal mappings have one digest."""
    assert digest({"b": 1, "a": "é"}) == digest({"a": "é", "b": 1})
    assert canonical_json({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_json_cannot_say_are_refused(value: float) -> None:
    """There is no byte form for them, so there is no digest either."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)
