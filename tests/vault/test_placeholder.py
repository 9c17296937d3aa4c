"""Placeholders look right, are worth nothing, and are recognised."""

import base64
import hashlib
import json
import random
import string
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.vault import placeholder
from ringfence.vault.placeholder import ALPHABETS, PREFIXES, find, looks_like_placeholder, mint

seeds = st.binary(min_size=32, max_size=48)
prefixes = st.sampled_from(("", *PREFIXES))
values = st.builds(
    lambda prefix, alphabet, letters: (
        prefix + "".join(alphabet[i % len(alphabet)] for i in letters)
    ),
    prefixes,
    st.sampled_from(ALPHABETS),
    st.lists(st.integers(0, 10_000), max_size=200),
)


def seed(number: int) -> bytes:
    """Give 32 bytes that differ by number."""
    return hashlib.sha256(str(number).encode()).digest()


@given(values, seeds)
def test_shape_is_kept_and_the_token_is_ours(value: str, drawn: bytes) -> None:
    """Length, prefix and alphabet of a long value stay; every placeholder is recognised."""
    token = mint(value.encode(), random=drawn)
    assert looks_like_placeholder(token)
    assert find(token.encode()) == [placeholder.Span(start=0, end=len(token), token=token)]
    if token.startswith("rfph_"):
        assert len(token) == 40
        return
    assert len(token) == len(value)
    prefix = next((p for p in PREFIXES if value.startswith(p)), "")
    assert token.startswith(prefix)
    alphabet = next(a for a in ALPHABETS if set(value[len(prefix) :]) <= set(a))
    assert set(token[len(prefix) :]) <= set(alphabet)


@given(st.binary(max_size=600), seeds)
def test_any_value_has_a_placeholder(value: bytes, drawn: bytes) -> None:
    """Whatever bytes a secret is made of, its placeholder is plain and recognised."""
    token = mint(value, random=drawn)
    assert looks_like_placeholder(token)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert urllib.parse.quote(token) == token
    assert json.dumps(token) == f'"{token}"'


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("ghp_" + "aB3" * 12, "ghp_"),
        ("github_pat_" + "1A" * 11 + "_" + "zZ9" * 20, "github_pat_"),
        ("sk-ant-api03-" + "Q-w_" * 24, "sk-ant-api03-"),
        ("sk-" + "aB3" * 16, "sk-"),
        ("AKIA" + "QWERTY234567ABCD", "AKIA"),
        ("xoxb-" + "123456789012-abcDEF", "xoxb-"),
        ("glpat-" + "aB3_" * 5, "glpat-"),
    ],
)
def test_provider_shapes(value: str, prefix: str) -> None:
    """The kinds of token that clients check by shape keep prefix and length."""
    token = mint(value.encode(), random=seed(1))
    assert token.startswith(prefix)
    assert len(token) == len(value)
    assert token != value


@pytest.mark.parametrize(
    "value",
    [b"", b"short", b"x" * 19, b"x" * 513, b"two words of a passphrase", b"\xff" * 30,
     b"-----BEGIN KEY-----\nabc\n", b"github_pat_123456789012"],
)  # fmt: skip
def test_other_values_get_our_own_form(value: bytes) -> None:
    """Too short, too long, not a token: one fixed form that tells nothing about the value."""
    token = mint(value, random=seed(2))
    assert token.startswith("rfph_")
    assert len(token) == 40


@given(values, values, seeds)
def test_only_the_shape_of_the_value_matters(one: str, two: str, drawn: bytes) -> None:
    """Two values of one shape get the same placeholder: nothing else of the value goes in."""
    if placeholder._shape(one.encode()) == placeholder._shape(two.encode()):
        assert mint(one.encode(), random=drawn) == mint(two.encode(), random=drawn)


def test_placeholders_differ_by_randomness() -> None:
    """Different draws give different tokens, even in the narrowest shape."""
    made = {mint(b"AKIA" + b"Q" * 16, random=seed(n)) for n in range(300)}
    assert len(made) == 300


@pytest.mark.parametrize("token", ["", "ghp_short", "x" * 19, "x" * 513, "é" * 30])
def test_what_is_no_token_is_not_ours(token: str) -> None:
    """Outside the lengths we make, or outside ASCII, nothing is looked at."""
    assert not looks_like_placeholder(token)


def test_too_little_randomness_is_refused() -> None:
    """A guessable placeholder is not made."""
    with pytest.raises(ValueError, match="32 random bytes"):
        mint(b"x" * 30, random=b"short")


def test_random_tokens_are_not_taken_for_ours() -> None:
    """Two hundred thousand random tokens, none recognised; the rate by design is near 2^-33."""
    drawn = random.Random(7)
    for alphabet in ALPHABETS:
        for _ in range(2_500):
            token = "".join(drawn.choices(alphabet, k=36))
            assert not looks_like_placeholder(token)


def test_the_chance_of_a_false_positive_is_below_one_in_a_billion() -> None:
    """By counting: one checksum for each alphabet among all strings of ten of its letters."""
    for alphabet in ALPHABETS:
        chance = sum(
            len(other) ** -10.0 for other in ALPHABETS if set(other) & set(alphabet) == set(other)
        )
        assert chance < 2**-30


@given(values, seeds, st.integers(0, 1000))
def test_one_changed_letter_is_not_ours(value: str, drawn: bytes, where: int) -> None:
    """The checksum covers every letter, prefix included."""
    token = mint(value.encode(), random=drawn)
    index = where % len(token)
    other = "a" if token[index] != "a" else "b"
    assert not looks_like_placeholder(token[:index] + other + token[index + 1 :])


@pytest.mark.parametrize(
    "around",
    [
        "Authorization: Bearer {}\r\n", '{{"token":"{}"}}', "x={}&y=1", "https://u:{}@h/p",
        "a%20{}%20b", '"line\\n{}\\nnext"', '"\\u0020{}"', "name_{}", "{}, {}", "({}).",
    ],
)  # fmt: skip
def test_placeholders_are_found_where_clients_put_them(around: str) -> None:
    """Headers, JSON, queries, URLs, escapes, and behind an underscore when the prefix is known."""
    token = mint(b"ghp_" + b"aB3" * 12, random=seed(3))
    text = around.format(token, token)
    spans = find(text.encode())
    assert [span.token for span in spans] == [token] * text.count(token)
    for span in spans:
        assert text[span.start : span.end] == token


@given(st.lists(st.tuples(seeds, values), max_size=5), st.binary(max_size=30))
def test_all_are_found_between_other_bytes(parts: list[tuple[bytes, str]], noise: bytes) -> None:
    """Every token between delimiters is found, in order, whatever stands around."""
    clean = bytes(b for b in noise if chr(b) not in string.ascii_letters + string.digits + "-_%\\")
    tokens = [mint(value.encode(), random=drawn) for drawn, value in parts]
    data = b"".join(clean + b" " + token.encode() + b" " for token in tokens)
    assert [span.token for span in find(data)] == tokens


def test_encoded_placeholders_are_not_tokens() -> None:
    """Base64 around one hides it: then nothing is swapped either, and that is the safe side."""
    token = mint(b"ghp_" + b"aB3" * 12, random=seed(4))
    assert find(base64.b64encode(token.encode())) == []


def test_hostile_runs_stay_cheap() -> None:
    """A body made of prefixes costs one bounded look a run, counted in checksum calls."""
    data = (b"sk-" * 400 + b" ") * 20
    calls = 0
    original = placeholder._number

    def counted(body: str) -> int:
        nonlocal calls
        calls += 1
        return original(body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placeholder, "_number", counted)
        assert find(data) == []
    assert calls <= 20 * (512 // 3 + 2)
