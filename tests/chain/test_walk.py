"""The walk that checks a tree against a shape."""

import pytest

from ringfence.chain.document import read
from ringfence.chain.shape import (
    Choice,
    Duration,
    Field,
    Free,
    ListOf,
    MapOf,
    Record,
    Shape,
    Text,
    Whole,
)
from ringfence.chain.walk import MOST_ERRORS, Faults, check

WORD = Text(says="a word", pattern="[a-z]+", longest=5)
PAIR = Record(
    what="a pair",
    fields=(
        Field(name="left", doc="The left one.", shape=WORD, required=True, alias="l"),
        Field(name="rightSide", doc="The right one.", shape=Whole(least=1, most=9)),
        Field(name="guard", doc="A guard.", refused="remove it"),
    ),
    no_shorthand="write {left: ...}",
)


def faults(text: str, shape: Shape) -> list[str]:
    """Check YAML against a shape; give the faults as ``code column message | hint``."""
    document = read(f"v: {text}".encode(), file="a.yaml")
    node = document.root.entries["v"].value  # type: ignore[union-attr]
    found = Faults(document.source)
    good = check(node, shape, found, name="v")
    assert good is not bool(found)
    return [
        f"{e.code} {e.where.column} {e.message}" + (f" | {e.hint}" if e.hint else "")
        for e in found.errors
        if e.where
    ]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("abc", WORD),
        ("b", Choice(values=("a", "b"))),
        ("9", Whole(least=1, most=9)),
        ("90", Duration(least=1, most=90)),
        ("1m", Duration(least=1, most=90)),
        ("[a, b]", ListOf(item=WORD, most=2)),
        ("a", ListOf(item=WORD, most=2, lone=True)),
        ("[a, a]", ListOf(item=WORD, most=2, repeats=True)),
        ("{a: b}", MapOf(key=WORD, value=WORD, most=1)),
        ("{anything: [1, {}]}", Free(says="x")),
        ("{left: a, rightSide: 3, x-note: [free, 1]}", PAIR),
        ("{l: a}", PAIR),
    ],
)
def test_what_fits_passes(text: str, shape: Shape) -> None:
    """No fault, and the walk says so."""
    assert faults(text, shape) == []


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("ABC", WORD, 'bad-value 4 v "ABC" is not a word'),
        ("abcdef", WORD, "too-long 4 v has at most 5 characters"),
        ("12", WORD, "wrong-type 4 v has to be a word, not the number 12 | write it in quotes"),
        ("~", WORD, "wrong-type 4 v has to be a word, not nothing"),
        (
            "Alow",
            Choice(values=("allow", "deny")),
            'bad-value 4 v "Alow" is not known | did you mean "allow"? known: allow, deny',
        ),
        ("10", Whole(least=1, most=9), "out-of-range 4 v has to be from 1 to 9, not 10"),
        (
            "true",
            Whole(least=0, most=9),
            "wrong-type 4 v has to be a whole number, not the truth value true",
        ),
        (
            "1.5",
            Whole(least=0, most=9),
            "wrong-type 4 v has to be a whole number, not the number 1.5",
        ),
        ("2m", Duration(least=1, most=90), "out-of-range 4 v has to be from 1 to 90, not 120"),
        (
            "2 m",
            Duration(least=1, most=90),
            "wrong-type 4 v has to be whole seconds, not text | or text such as 90s, 10m, 2h, 1d",
        ),
        (
            "[a, b, c]",
            ListOf(item=WORD, most=2),
            "wrong-length 4 v has to have at most 2 items, not 3",
        ),
        ("[]", ListOf(item=WORD, least=1, most=1), "wrong-length 4 v has to have 1 item, not 0"),
        ("[a, b, a]", ListOf(item=WORD, most=3), 'listed-twice 11 v lists "a" twice'),
        (
            "make test",
            ListOf(item=WORD, most=3, instead_of_text="a list, no shell"),
            "wrong-type 4 v has to be a list, not text | a list, no shell",
        ),
        (
            "{A: b}",
            MapOf(key=WORD, value=WORD, most=1),
            'bad-value 5 a name in v "A" is not a word',
        ),
        (
            "{a: B}",
            MapOf(key=WORD, value=WORD, most=1),
            'bad-value 8 v.a "B" is not a word',
        ),
        (
            "{a: b, c: d}",
            MapOf(key=WORD, value=WORD, most=1),
            "wrong-length 4 v has at most 1 entries",
        ),
        ("[]", Free(says="x"), "wrong-type 4 v has to be a mapping, not a list"),
        (
            "text",
            PAIR,
            "wrong-type 4 a pair has to be a mapping, not text | write {left: ...}",
        ),
        ("{rightSide: 1}", PAIR, 'missing-field 4 a pair has no "left" | The left one.'),
        (
            "{left: a, right_side: 1}",
            PAIR,
            (
                'unknown-field 14 a pair has no field "right_side" | did you mean "rightSide"? '
                "known: left, rightSide, and x-..."
            ),
        ),
        (
            "{left: a, zzz: 1}",
            PAIR,
            'unknown-field 14 a pair has no field "zzz" | known: left, rightSide, and x-...',
        ),
        (
            "{left: a, guard: 1}",
            PAIR,
            'not-enforced 14 "guard" is not enforced by this version, so it is refused | remove it',
        ),
        (
            "{left: a, l: b}",
            PAIR,
            'duplicate-key 14 "left" and "l" mean the same field | keep one of the two',
        ),
    ],
)
def test_each_fault_has_place_and_words(text: str, shape: Shape, expected: str) -> None:
    """One line says what is wrong, one what to do."""
    assert faults(text, shape) == [expected]


def test_all_faults_are_found_in_the_order_of_the_file() -> None:
    """The walk does not stop at the first."""
    found = faults("{zzz: 1, rightSide: 0, l: 7}", PAIR)
    assert [line.split()[0] for line in found] == ["unknown-field", "out-of-range", "wrong-type"]


def test_a_hostile_file_gets_no_endless_answer() -> None:
    """The number of errors is bounded."""
    found = faults("[" + ", ".join("1" for _ in range(200)) + "]", ListOf(item=WORD, most=300))
    assert len(found) == MOST_ERRORS
