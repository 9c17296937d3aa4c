"""Strict JSON with positions."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.document import read
from ringfence.chain.errors import InputError
from ringfence.chain.node import to_json

PLAIN = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(PLAIN),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(PLAIN), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 2]))
def test_reads_what_the_standard_library_reads(value: object, indent: int | None) -> None:
    """The same value comes out, escaped characters and layout included."""
    text = json.dumps(value, indent=indent)
    assert to_json(read(text.encode(), file="a.json").root) == json.loads(text)


@given(st.text(alphabet='{}[]",:\\/ntu019-+.eE x\n', max_size=30))
def test_takes_nothing_the_standard_library_refuses(text: str) -> None:
    """Being stricter is allowed, being laxer is not."""
    try:
        value = to_json(read(text.encode(), file="a.json").root)
    except InputError:
        return
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty-file 1:1"),
        (" \n ", "empty-file 1:1"),
        ("{", "json-syntax 1:2"),
        ('{"a": 1,}', "json-syntax 1:8"),
        ("[1, 2,\n]", "json-syntax 1:6"),
        ('{"a" 1}', "json-syntax 1:6"),
        ('{"a": 1\n "b": 2}', "json-syntax 2:2"),
        ("{'a': 1}", "json-syntax 1:2"),
        ("{a: 1}", "json-syntax 1:2"),
        ("// note\n{}", "json-syntax 1:1"),
        ("{}\n# note", "json-syntax 2:1"),
        ("{} {}", "json-syntax 1:4"),
        ('{"a": NaN}', "json-syntax 1:7"),
        ("[Infinity]", "json-syntax 1:2"),
        ("[-Infinity]", "json-syntax 1:2"),
        ("[True]", "json-syntax 1:2"),
        ("[01]", "json-syntax 1:2"),
        ("[1.]", "json-syntax 1:2"),
        ("[+1]", "json-syntax 1:2"),
        ("[0x1]", "json-syntax 1:2"),
        ("[1_000]", "json-syntax 1:2"),
        ("[1e999]", "number-out-of-range 1:2"),
        ("[9007199254740992]", "number-out-of-range 1:2"),
        ("[" + "9" * 5000 + "]", "number-out-of-range 1:2"),
        ('["a\nb"]', "json-syntax 1:2"),
        ('["a\tb"]', "json-syntax 1:2"),
        ('["a', "json-syntax 1:2"),
        ('["a\\x"]', "json-syntax 1:4"),
        ('["a\\u12g4"]', "json-syntax 1:4"),
        ('["\\ud800"]', "bad-character 1:2"),
        ('["\\u0000"]', "bad-character 1:2"),
        ('{"\\u0007": 1}', "bad-character 1:2"),
        ('{"a": 1,\n "b": {"c": 1, "c": 2}}', "duplicate-key 2:16"),
        ('{"a": 1, "\\u0061": 2}', "duplicate-key 1:10"),
        ("[" * 100_000, "too-deep 1:33"),
        ('{"a":' * 20_000, "too-deep 1:161"),
    ],
)
def test_faults_have_their_place(refused: Callable[..., str], text: str, said: str) -> None:
    """Line and column of the first thing that is wrong."""
    assert refused(text.encode(), "a.json") == said


def test_equal_keys_are_not_settled_silently() -> None:
    """The library would keep the last of two networks; here nobody has to guess."""
    text = b'{"network": [], "network": ["evil.example.com"]}'
    assert json.loads(text) == {"network": ["evil.example.com"]}
    with pytest.raises(InputError, match="already on line 1"):
        read(text, file="a.json")


def test_surrogate_pairs_are_one_character() -> None:
    """Only half a pair is refused."""
    assert to_json(read(b'"\\ud83d\\ude00"', file="a.json").root) == "\N{GRINNING FACE}"


def test_spans_are_the_literals() -> None:
    """A value's span is exactly its text in the file."""
    document = read(b'{\n  "a": [1, "x"]\n}', file="a.json")
    text = document.source.text
    entry = document.root.entries["a"]  # type: ignore[union-attr]
    assert text[entry.key.start : entry.key.end] == '"a"'
    spans = [text[item.start : item.end] for item in entry.value.items]  # type: ignore[union-attr]
    assert spans == ["1", '"x"']
    assert str(document.where(entry.value)) == "a.json:2:8"
