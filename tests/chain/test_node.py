"""The tree of a file."""

import pytest

from ringfence.chain.document import read
from ringfence.chain.errors import InputError
from ringfence.chain.node import Table, quoted, to_json
from ringfence.chain.source import Limits

SMALL = Limits(json_values=6, depth=2, keys=2, key_characters=3, number_characters=4)


def table(text: str) -> Table:
    """Read JSON that is a mapping."""
    root = read(text.encode(), file="a.json").root
    assert isinstance(root, Table)
    return root


def test_a_table_gives_values_by_type() -> None:
    """What is absent or of another type is the default, never an exception."""
    t = table('{"t": "x", "n": 3, "l": ["a", {}, "b"], "m": {"k": [1]}}')
    assert (t.text("t"), t.text("n"), t.text("none", "d")) == ("x", "", "d")
    assert (t.whole("n"), t.whole("t"), t.whole("none")) == (3, None, None)
    assert (t.texts("l"), t.texts("t"), t.texts("none")) == (("a", "b"), ("x",), ())
    assert (t.mapping("m"), t.mapping("l"), t.mapping("none")) == ({"k": [1]}, None, None)
    assert t.table("l") is None


def test_the_order_of_keys_is_kept() -> None:
    """Mappings come out as written."""
    assert list(to_json(table('{"b": 1, "a": 2}'))) == ["b", "a"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[1, 2, 3, 4, 5, 6]", "too-many-values"),
        ('{"a": 1, "b": 2, "c": 3}', "too-many-keys"),
        ("[[[1]]]", "too-deep"),
        ('{"abcd": 1}', "key-too-long"),
        ("[12345]", "number-out-of-range"),
    ],
)
def test_each_limit_holds_at_its_border(text: str, code: str) -> None:
    """One thing more than the limit is refused; one less is read."""
    with pytest.raises(InputError) as caught:
        read(text.encode(), file="a.json", limits=SMALL)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "text", ["[1, 2, 3, 4, 5]", '{"a": 1, "b": 2}', "[[1]]", '{"abc": 1}', "[1234]"]
)
def test_what_is_at_the_limit_is_read(text: str) -> None:
    """The limits are the last sizes that pass."""
    read(text.encode(), file="a.json", limits=SMALL)


def test_quotations_are_short_and_plain() -> None:
    """A message never carries control characters or a page of text from a file."""
    assert quoted("a\x1b[0m\n") == '"a\\x1b[0m\\n"'
    assert len(quoted("x" * 1_000)) == 62
