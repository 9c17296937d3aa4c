"""Variables in texts and commands."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError
from ringfence.chain.node import Leaf
from ringfence.chain.source import Source
from ringfence.chain.variables import MOST_EXPANDED, Expander, effective
from ringfence.chain.walk import Faults
from ringfence.chain.words import Chain

VALUES = {"AREA": "billing", "B2_X": "{AREA}", "EMPTY": ""}


def expand(text: str) -> tuple[str, list[str]]:
    """Replace in one text; give it and the codes of the faults."""
    faults = Faults(Source("f", text))
    leaf = Leaf(value=text, start=0, end=len(text))
    return Expander(VALUES, faults).text(leaf), [e.code for e in faults.errors]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In {AREA}.", "In billing."),
        ("{AREA}{AREA}", "billingbilling"),
        ("a{EMPTY}b", "ab"),
        ("{{AREA}}", "{AREA}"),
        ("${{AREA}}", "${AREA}"),
        ("{{{AREA}}}", "{{AREA}}"),
        ('{"a": {AREA}}', '{"a": billing}'),
        (
            "{passed, issues[{type,description,severity}]}",
            "{passed, issues[{type,description,severity}]}",
        ),
        ('{"a": {"b": {}}}', '{"a": {"b": {}}}'),
        ("{area} {Area} { AREA } {1A} {}", "{area} {Area} { AREA } {1A} {}"),
    ],
)
def test_only_upper_case_names_in_braces_count(text: str, expected: str) -> None:
    """JSON in a prompt stays as it is; doubled braces around a name are an escape."""
    assert expand(text) == (expected, [])


def test_values_are_not_searched_again() -> None:
    """A value that looks like a variable stays text."""
    assert expand("{B2_X}") == ("{AREA}", [])


def test_unknown_names_are_faults_and_leave_the_text() -> None:
    """Each use is noted."""
    assert expand("{AREA} {NOPE} {NADA}") == (
        "{AREA} {NOPE} {NADA}",
        ["unknown-variable", "unknown-variable"],
    )


@given(st.text(max_size=40))
def test_texts_without_upper_case_braces_do_not_change(text: str) -> None:
    """Replacing is the identity where no name stands."""
    lowered = text.lower()
    assert expand(lowered) == (lowered, [])


def test_what_comes_out_is_bounded() -> None:
    """Many uses of a long value are refused before they are put together."""
    text = "{A}" * 1_000
    faults = Faults(Source("f", text))
    expander = Expander({"A": "x" * 32_000}, faults)
    assert expander.text(Leaf(value=text, start=0, end=len(text))) == text
    assert [e.code for e in faults.errors] == ["too-long"]


def test_many_texts_share_one_bound() -> None:
    """A chain cannot multiply one value over all its agents without end."""
    text = "{A}" * 8
    faults = Faults(Source("f", text))
    expander = Expander({"A": "x" * 32_000}, faults)
    sizes = [len(expander.text(Leaf(value=text, start=0, end=len(text)))) for _ in range(40)]
    assert sizes[0] == 8 * 32_000 <= MOST_EXPANDED
    assert sum(sizes) < 5_000_000
    assert faults


def test_overrides_replace_declared_values() -> None:
    """The command line wins over the file."""
    assert effective({"A": "1", "B": "2"}, {"B": "3"}) == {"A": "1", "B": "3"}


@pytest.mark.parametrize(
    ("overrides", "code", "hint"),
    [
        ({"AERA": "x"}, "unknown-variable", 'did you mean "AREA"? declared: AREA'),
        ({"AREA": "a\0b"}, "bad-variable", "at most"),
        ({"AREA": "\ud800"}, "bad-variable", "at most"),
        ({"AREA": "x" * 40_000}, "bad-variable", "at most"),
    ],
)
def test_bad_overrides_are_refused(overrides: dict[str, str], code: str, hint: str) -> None:
    """A name nobody declared, or a value no text may hold."""
    with pytest.raises(InputError) as caught:
        effective({"AREA": "y"}, overrides)
    assert caught.value.code == code
    assert caught.value.hint.startswith(hint)


COMMAND = """\
name: one
variables: {{AREA: billing, PROG: sh}}
agents:
  - name: only
    run: {run}
    triggers: [chain:start]
    emits: [chain:complete]
"""


def test_a_whole_argument_is_replaced(load: Callable[..., Chain]) -> None:
    """One variable, one argument, however it looks; a shell's own variables stay."""
    chain = load(
        COMMAND.format(run='[sh, -c, "echo $1 ${AREA} {OTHER}", "{AREA}", "{{AREA}}"]'),
        AREA="a; rm -rf / $(x)",
    )
    assert chain.agents[0].run == (
        "sh",
        "-c",
        "echo $1 ${AREA} {OTHER}",
        "a; rm -rf / $(x)",
        "{AREA}",
    )


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ('[sh, -c, "echo {AREA}"]', "variable-in-argument 5:19"),
        ('["{PROG}", x]', "variable-as-program 5:11"),
        ('[echo, "{NOPE}"]', "unknown-variable 5:18"),
    ],
)
def test_a_variable_never_becomes_part_of_a_script(
    faults: Callable[..., list[str]], run: str, said: str
) -> None:
    """Pasting a value into an argument of a shell would run it."""
    assert faults(COMMAND.format(run=run)) == [said]


def test_a_name_spelled_by_an_escape_is_underlined_as_a_whole(
    faults: Callable[..., list[str]],
) -> None:
    """The spelling in the file is not the text, so the text is pointed at."""
    assert faults(COMMAND.format(run='[echo, "\\x7bNOPE}"]')) == ["unknown-variable 5:17"]
