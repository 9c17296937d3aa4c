"""Errors as a person sees them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError, Position, Refused
from ringfence.chain.parse import ChainRejected, parse
from ringfence.chain.show import WIDTH, picture, plain, render


def shown(text: str, column: int, width: int = 1, line: int = 7) -> str:
    """Give the picture of a place."""
    where = Position(file="f.yaml", line=line, column=column, width=width, text=text)
    return "\n".join(picture(where)[1:])


def test_an_error_shows_place_line_and_hint() -> None:
    """The whole text for one error."""
    error = InputError(
        "unknown-field",
        'an agent has no field "promt"',
        hint='did you mean "prompt"?',
        where=Position(file="c.yaml", line=14, column=5, width=5, text="    promt: x"),
    )
    assert render(error) == (
        'error: unknown-field: an agent has no field "promt"\n'
        "  --> c.yaml:14:5\n"
        "14 |     promt: x\n"
        "   |     ^^^^^\n"
        'hint: did you mean "prompt"?'
    )


def test_an_error_without_a_place_has_no_picture() -> None:
    """Not every error is about a file."""
    assert render(Refused("grant-expired", "the grant ended", hint="start a new run")) == (
        "error: grant-expired: the grant ended\nhint: start a new run"
    )


def test_all_errors_of_a_chain_are_shown() -> None:
    """One after the other, with an empty line between."""
    with pytest.raises(ChainRejected) as caught:
        parse(b"nam: x\nagents: 3\n", file="c.yaml")
    assert render(caught.value) == (
        'error: unknown-field: a chain has no field "nam"\n'
        "  --> c.yaml:1:1\n"
        "1 | nam: x\n"
        "  | ^^^\n"
        'hint: did you mean "name"? known: agents, apiVersion, description, limits, name, outputs, '
        "rbac, schedule, trigger, variables, version, and x-...\n"
        "\n"
        'error: missing-field: a chain has no "name"\n'
        "  --> c.yaml:1:1\n"
        "1 | nam: x\n"
        "  | ^\n"
        "hint: Name of the chain: lower case with hyphens.\n"
        "\n"
        "error: wrong-type: agents has to be a list, not the number 3\n"
        "  --> c.yaml:2:9\n"
        "2 | agents: 3\n"
        "  |         ^"
    )


@pytest.mark.parametrize(
    ("text", "column", "width", "expected"),
    [
        ("ab", 2, 1, "7 | ab\n  |  ^"),
        ("", 1, 1, "7 |\n  | ^"),
        ("ab", 3, 1, "7 | ab\n  |   ^"),
        ("\tab", 2, 2, "7 |     ab\n  |     ^^"),
        ("日本x", 3, 1, "7 | 日本x\n  |     ^"),
        ("日本", 1, 2, "7 | 日本\n  | ^^^^"),
        ("e\u0301x", 3, 1, "7 | e\u0301x\n  |  ^"),
        ("a\x1b[2Jb", 2, 1, "7 | a<U+001B>[2Jb\n  |  ^^^^^^^^"),
        ("a\u202eb", 3, 1, "7 | a<U+202E>b\n  |          ^"),
        ("a\u200bb", 2, 1, "7 | a<U+200B>b\n  |  ^^^^^^^^"),
        ("\ud800", 1, 1, "7 | <U+D800>\n  | ^^^^^^^^"),
    ],
)
def test_the_caret_stands_under_the_cell(text: str, column: int, width: int, expected: str) -> None:
    """Tabs, wide, combining and escaped characters are counted as shown."""
    assert shown(text, column, width) == expected


def test_the_middle_of_a_long_line_is_shown() -> None:
    """The line is cut on both sides, the caret stays under its character."""
    text = "x" * 500 + "HERE" + "y" * 500
    line, caret = shown(text, 501, 4).split("\n")
    assert line.startswith("7 | …x")
    assert line.endswith("y…")
    assert line[caret.index("^") : caret.rindex("^") + 1] == "HERE"


def test_names_and_messages_cannot_move_the_cursor() -> None:
    """A file may have any name."""
    where = Position(file="\x1b]0;x\x07.yaml", line=1, column=1, text="")
    text = render(InputError("bad", "a\nb\u202e", hint="c\x9b", where=where))
    assert "\x1b" not in text
    assert text.startswith("error: bad: a<U+000A>b<U+202E>\n  --> <U+001B>]0;x<U+0007>.yaml:1:1")


@given(st.text(max_size=300), st.integers(1, 400), st.integers(1, 400))
def test_any_line_gives_a_narrow_harmless_picture(text: str, column: int, width: int) -> None:
    """Three lines, bounded, one run of carets, nothing raw."""
    where = Position(file="f", line=1, column=column, width=width, text=text)
    lines = picture(where)
    assert len(lines) == 3
    assert "^" in lines[2]
    assert lines[2].strip(" |^…") == ""
    for line in lines:
        assert line == plain(line)
    assert len(lines[2]) <= WIDTH + 12
