"""The part of YAML a chain file may use."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ringfence.chain.document import read
from ringfence.chain.errors import InputError
from ringfence.chain.node import Leaf, to_json

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)


def value(text: str) -> object:
    """Read YAML to plain values."""
    return to_json(read(text.encode(), file="a.yaml").root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("0", 0),
        ("-17", -17),
        ("+17", 17),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("'17'", "17"),
        ('"true"', "true"),
        ("|\n  a\n   b\n", "a\n b\n"),
        (">-\n  a\n  b\n", "a b"),
        ('"\\u202e\\x41"', "\u202eA"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, expected: object) -> None:
    """Countries, times, dates and versions stay text."""
    assert value(f"a: {text}") == {"a": expected}


def test_the_library_would_construct_dates() -> None:
    """Why scalars are resolved here: the same text loaded by the library is an object."""
    text = "a: 2026-01-02"
    assert YAML(typ="safe", pure=True).load(text) == {"a": date(2026, 1, 2)}
    assert value(text) == {"a": "2026-01-02"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty-file 1:1"),
        ("# only a note\n", "empty-file 1:1"),
        ("a: &x 1", "yaml-anchor 1:4"),
        ("a: 1\nb: *x", "yaml-alias 2:4"),
        (LAUGHS, "yaml-anchor 1:4"),
        ("a: !!python/object/apply:os.system [id]", "yaml-tag 1:4"),
        ("a: !x y", "yaml-tag 1:4"),
        ("!!map {}", "yaml-tag 1:1"),
        ("%YAML 1.1\n---\na: b", "yaml-directive 1:1"),
        ("%TAG ! x\n---\na: b", "yaml-directive 1:1"),
        ("a: 1\n---\nb: 2", "yaml-documents 2:1"),
        ("a: 1\n...\n---\nb: 2", "yaml-documents 3:1"),
        ("<<: {a: b}", "yaml-merge 1:1"),
        ("a: 1\nb: 2\na: 3", "duplicate-key 3:1"),
        ("a: 1\n'a': 3", "duplicate-key 2:1"),
        ("1: 2", "key-not-text 1:1"),
        ("true: 2", "key-not-text 1:1"),
        ("~: 2", "key-not-text 1:1"),
        ("? [a]\n: b", "key-not-text 1:3"),
        ("? {a: b}\n: c", "key-not-text 1:3"),
        ("a: 010", "number-ambiguous 1:4"),
        ("a: 0x10", "number-ambiguous 1:4"),
        ("a: 0o7", "number-ambiguous 1:4"),
        ("a: .nan", "number-ambiguous 1:4"),
        ("a: -.Inf", "number-ambiguous 1:4"),
        ("a: 1e999", "number-out-of-range 1:4"),
        ("a: " + "9" * 30_000, "number-out-of-range 1:4"),
        ('a: "\\ud800"', "bad-character 1:4"),
        ('a: "x\\0"', "bad-character 1:4"),
        ('"\\x1b": 1', "bad-character 1:1"),
        ('a: "\\U11111111"', "yaml-syntax 1:7"),
        ('a: "\\q"', "yaml-syntax 1:6"),
        ('a: "x', "yaml-syntax 1:6"),
        ("a:\n\t- b", "yaml-syntax 2:1"),
        ("a: b: c", "yaml-syntax 1:5"),
        ("a: [", "yaml-syntax 1:5"),
        ("a: ]", "yaml-syntax 1:4"),
        ("a: {b", "yaml-syntax 1:6"),
        ("a: @x", "yaml-syntax 1:4"),
        ("a:\n  b: 1\n c: 2", "yaml-syntax 3:2"),
        ("[" * 40_000, "too-deep 1:33"),
        ("{a: " * 10_000, "too-deep 1:129"),
        ("- " * 20_000, "too-deep 1:65"),
        ("k" * 300 + ": v", "key-too-long 1:1"),
        ("\n".join(f"k{i}: v" for i in range(257)), "too-many-keys 257:1"),
        ("- a\n" * 3_000, "too-many-values 3000:3"),
    ],
)
def test_faults_have_their_place(refused: Callable[..., str], text: str, said: str) -> None:
    """Line and column of the first thing that is refused."""
    assert refused(text.encode(), "a.yaml") == said


def test_a_bomb_of_aliases_would_go_off() -> None:
    """The library follows the aliases of this file to two thousand leaves; we stop at the first."""

    def leaves(node: object) -> int:
        return sum(map(leaves, node)) if isinstance(node, list) else 1

    loaded = YAML(typ="safe", pure=True).load(LAUGHS)
    assert leaves(loaded["k"]) == 2**11
    with pytest.raises(InputError, match="anchors and aliases"):
        read(LAUGHS.encode(), file="a.yaml")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_matter(newline: str) -> None:
    """The same values at the same places."""
    document = read(f"a: 1{newline}b:{newline}  - x{newline}".encode(), file="a.yaml")
    assert to_json(document.root) == {"a": 1, "b": ["x"]}
    leaf = document.root.entries["b"].value.items[0]  # type: ignore[union-attr]
    assert isinstance(leaf, Leaf)
    assert str(document.where(leaf)) == "a.yaml:3:5"


@given(st.text(alphabet="ab:-?[]{},&*!|>'\"%@`#\\x0 \t\n\r~<=.é", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No exception but InputError comes out, whatever the library thinks of the text."""
    with suppress(InputError):
        to_json(read(text.encode(), file="a.yaml").root)
