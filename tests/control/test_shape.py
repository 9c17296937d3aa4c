"""Fields of a record are checked before they are used."""

import pytest

from ringfence.control.shape import MOST, Fields, OddShape


def test_absent_fields_are_none_or_empty() -> None:
    """What is not there is not odd."""
    fields = Fields({"a": None})
    assert fields.text("a") is None
    assert fields.number("a") is None
    assert fields.texts("a") == ()
    assert fields.objects("a") == ()
    assert fields.object("a") is None


@pytest.mark.parametrize(
    "value",
    [True, "1", [], 2**63, float("nan"), float("inf"), pytest.param(10**5000, id="very long")],
)
def test_odd_numbers_are_refused(value: object) -> None:
    """A number is a number of 64 bits: no truth value, no NaN, nothing too long to print."""
    with pytest.raises(OddShape):
        Fields({"n": value}).number("n")  # type: ignore[dict-item]


def test_odd_texts_are_refused() -> None:
    """Nothing is converted to text on the way."""
    with pytest.raises(OddShape):
        Fields({"t": 1}).text("t")
    with pytest.raises(OddShape):
        Fields({}).need("t")
    with pytest.raises(OddShape):
        Fields({"t": "one"}).texts("t")
    with pytest.raises(OddShape):
        Fields({"t": ["one", 2]}).texts("t")


def test_odd_objects_are_refused() -> None:
    """An object is an object, in a list too."""
    with pytest.raises(OddShape):
        Fields({"o": []}).object("o")
    with pytest.raises(OddShape):
        Fields({"o": ["x"]}).objects("o")
    assert [o.text("a") for o in Fields({"o": [{"a": "b"}]}).objects("o")] == ["b"]


def test_long_lists_are_refused() -> None:
    """A list is bounded, whoever wrote it."""
    with pytest.raises(OddShape):
        Fields({"l": ["x"] * (MOST + 1)}).texts("l")
