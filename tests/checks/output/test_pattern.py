import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.checks.output.pattern import MOST_STATES, LinearPattern, UnsupportedPattern

ATOM = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", r"\.", "^", "$", r"[\w-]", "1"]
)
REPEAT = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}"])


def pieces(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Build sequences, choices and repeated groups."""
    group = st.tuples(inner, REPEAT).map(lambda p: f"(?:{p[0]}){p[1]}")
    return st.one_of(
        group, st.tuples(inner, inner).map("".join), st.tuples(inner, inner).map("|".join)
    )


SIMPLE = st.tuples(ATOM, REPEAT).map(lambda p: p[0] if p[0] in "^$" else "".join(p))
PATTERN = st.recursive(SIMPLE, pieces, max_leaves=5)


@given(PATTERN, st.text(alphabet="abc1.-", max_size=8))
def test_it_agrees_with_the_library_matcher(source: str, text: str) -> None:
    """On the shared grammar the answer is that of `re.search`, only without backtracking."""
    expected = re.search(source.replace("$", r"\Z"), text) is not None
    assert LinearPattern(source).found_in(text) is expected


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        (r"^[A-Z]{2}-\d{4}$", "AB-1234", True),
        (r"^[A-Z]{2}-\d{4}$", "AB-1234\n", False),
        (r"^\S+@\S+$", "a@b", True),
        (r"[^\s\d]", "1 2", False),
        (r"[\D]", "1", False),
        (r"[\D]", "x", True),
        (r"\u0041\x42\n", "AB\n", True),
        (r"[]a]", "x", False),
        (r"[\]a-]", "-", True),
        ("^$", "", True),
        ("", "anything", True),
        ("a|", "zzz", True),
    ],
)
def test_what_schemas_use_works(source: str, text: str, found: bool) -> None:  # noqa: FBT001 - a table
    """Classes, escapes, bounds and anchors mean what ECMA 262 says."""
    assert LinearPattern(source).found_in(text) is found


@pytest.mark.parametrize(
    "source",
    [
        "(?=a)", "(?<n>a)", "(?!a)", r"(a)\1", r"\bword", "a*?", "a**", "a++", "(", ")", "a)", "[a",
        "[b-a]", "[a-\\d]", "*a", "^*", "a{", "a{2", "a{x}", "a{3,2}", "a{99999}", "\\", r"\p{L}",
        r"\u12", r"\xg0", "a" * 1_001, "(" * 60 + ")" * 60,
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused(source: str) -> None:
    """Ignoring a part of a pattern would let outputs through that the author meant to stop."""
    with pytest.raises(UnsupportedPattern):
        LinearPattern(source)


@pytest.mark.parametrize("source", ["((a{99}){99}){99}", "(){9999}(){9999}", "((){999}){999}"])
def test_the_size_of_a_compiled_pattern_is_bounded(source: str) -> None:
    """Nested repeats do not multiply without end."""
    with pytest.raises(UnsupportedPattern, match=str(MOST_STATES)):
        LinearPattern(source)


@pytest.mark.parametrize("source", ["(a|a)*b", "(a*)*b", "(a+)+$x", "(.*a){12}b", "a*a*a*a*a*b"])
def test_patterns_that_hang_a_backtracking_matcher_end(source: str) -> None:
    """Each of these takes `re` longer than the age of the universe on this text."""
    assert LinearPattern(source).found_in("a" * 5_000) is False


def test_the_memory_of_steps_is_bounded() -> None:
    """A text of many different characters does not fill the cache without end."""
    pattern = LinearPattern("^.*x$")
    assert pattern.found_in("".join(map(chr, range(0x4E00, 0x4E00 + 6_000))) + "x")
    assert len(pattern._steps) < 6_000
