"""Masks: found in every form, wherever the stream is cut, without delaying the rest."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.gateway.redact import Needles, Redactor, Watch, forms

VALUE = b"s3cr3t-Value/+of+the+real-key=="


def stream(values: list[bytes], data: bytes, cuts: list[int]) -> bytes:
    """Redact data that comes in pieces."""
    redactor = Redactor(Needles(("n", value) for value in values))
    out, at = b"", 0
    for cut in [*sorted(c % (len(data) + 1) for c in cuts), len(data)]:
        out += redactor.feed(data[at:cut])
        at = max(at, cut)
    return out + redactor.last(b"")


@given(st.binary(min_size=8, max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_base64_is_found_at_every_alignment(value: bytes, before: bytes, after: bytes) -> None:
    """Whatever stands around the value inside the same encoding."""
    text = base64.b64encode(before + value + after)
    assert any(form in text for form in forms(value))
    text = base64.urlsafe_b64encode(before + value + after)
    assert any(form in text for form in forms(value))


@given(st.text(min_size=6, max_size=20).filter(lambda t: t.isprintable()))
def test_the_usual_escapes_are_found(text: str) -> None:
    """As URLs, JSON and hex write it."""
    value = text.encode()
    for written in (
        quote(text, safe=""), quote(text), quote_plus(text), value.hex(), value.hex().upper(),
        json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1],
    ):  # fmt: skip
        assert any(form in written.encode() for form in forms(value)), written


def test_a_value_that_is_no_text_has_no_json_form() -> None:
    """And is found in the other forms."""
    assert b"\xff\xfe\xfd\xfc".hex().encode() in forms(b"\xff\xfe\xfd\xfc")


@given(
    st.sampled_from(forms(VALUE)), st.binary(max_size=30), st.binary(max_size=30),
    st.lists(st.integers(0, 400), max_size=12),
)  # fmt: skip
def test_no_cut_of_the_stream_hides_a_value(
    form: bytes, before: bytes, after: bytes, cuts: list[int]
) -> None:
    """The result has the same length, and nothing of the form."""
    data = before + form + after
    out = stream([VALUE], data, cuts)
    assert len(out) == len(data)
    assert form not in out
    assert out == stream([VALUE], data, [])


def test_without_the_window_a_cut_would_hide_it() -> None:
    """The guard-off proof: piecewise search misses what piecewise feeding finds."""
    pieces = [VALUE[:9], VALUE[9:]]
    assert not any(VALUE in piece for piece in pieces)
    assert stream([VALUE], VALUE, [9]) == b"*" * len(VALUE)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=9))
def test_innocent_bytes_pass_unchanged(data: bytes, cuts: list[int]) -> None:
    """All of them, in order."""
    assert stream([b"\xfa\xfb" * 9], data, cuts) == data or b"\xfa\xfb" * 9 in data


def test_only_a_possible_beginning_is_held_back() -> None:
    """An event stream is not delayed by our looking."""
    redactor = Redactor(Needles([("n", VALUE)]))
    assert redactor.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert redactor.feed(b"data: " + VALUE[:7]) == b"data: "
    assert redactor.feed(b" no") == VALUE[:7] + b" no"
    assert redactor.count == 0


def test_overlapping_values_are_all_masked() -> None:
    """One may begin inside another, or be its beginning."""
    assert stream([b"abcdef", b"defghi"], b"xabcdefghix", []) == b"x*********x"
    for cut in range(12):
        assert stream([b"tok-12", b"tok-123456"], b"tok-123456", [cut]) == b"*" * 10


def test_a_periodic_value_does_not_hold_the_stream_for_ever() -> None:
    """What is held is bounded."""
    redactor = Redactor(Needles([("n", b"aaaaaaaa")]))
    out = b"".join(redactor.feed(b"aaaa") for _ in range(1000))
    assert len(out) > 3_800
    assert set(out) == {ord("*")}


def test_text_is_masked_whole() -> None:
    """A header value or path."""
    redactor = Redactor(Needles([("n", VALUE)]))
    assert redactor.text(f"a {VALUE.decode()} b") == "a " + "*" * len(VALUE) + " b"
    assert redactor.text("a") == "a"
    assert redactor.count == 1


def test_no_needles_change_nothing() -> None:
    """And say so."""
    empty = Needles([])
    assert not empty
    assert Redactor(empty).feed(b"abc") == b"abc"
    assert Watch(empty).feed(b"abc") is None


@pytest.mark.parametrize("cut", range(1, len(VALUE)))
def test_a_watch_sees_what_ends_in_a_piece(cut: int) -> None:
    """Wherever it was cut, and names it."""
    watch = Watch(Needles([("name", VALUE)]))
    assert watch.feed(b"x" + VALUE[:cut]) is None
    assert watch.feed(VALUE[cut:] + b"x") == "name"


def test_letter_case_can_be_ignored() -> None:
    """For names that were folded on the way."""
    needles = Needles([("n", b"AbCdEf")])
    assert needles.find_folded(b"x-abcdef")
    assert not needles.find_folded(b"x-other")


def test_one_byte_values_work() -> None:
    """They are masked everywhere, which is what was asked."""
    assert stream([b"z"], b"azbz", [2]) == b"a*b*"
