import base64
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.checks.finding import Severity
from ringfence.checks.output.encodings import LONGEST_VALUE, forms, squeeze
from ringfence.checks.output.scrub import LARGEST_PIECE, LONGEST_GAP, KnownValue, Scrubber

TOKEN = b"tok-9f8e7d6c5b4a"
SCRUBBER = Scrubber([KnownValue(name="TOKEN", value=TOKEN)])

# Few letters and values that overlap themselves and each other: the hard case for a matcher.
TIGHT = (b"abab", b"babaab", b"aab a", b"bbbbbbb", b"cabab\nabc")
TIGHT_SCRUBBER = Scrubber(
    [KnownValue(name=f"S{number}", value=value) for number, value in enumerate(TIGHT)]
)
FRAGMENTS = [value[a:b] for value in TIGHT for a in (0, 1, 2) for b in (3, 5, 8)]


def cover(data: bytes) -> bytes:
    """Give the data with every kept byte of every occurrence dropped, the slow and plain way."""
    kept = [i for i, byte in enumerate(data) if bytes([byte]) not in (b" ", b"\n")]
    text = squeeze(data)
    gone = set()
    for value in TIGHT:
        for form in forms(value):
            for start in range(len(text) - len(form) + 1):
                if text[start : start + len(form)] == form:
                    gone.update(kept[start : start + len(form)])
    return bytes(byte for i, byte in enumerate(data) if i in set(kept) and i not in gone)


def in_pieces(scrubber: Scrubber, data: bytes, cuts: list[int]) -> bytes:
    """Feed the data cut at the given places."""
    stream = scrubber.stream()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    out = b"".join(stream.feed(data[a:b]) for a, b in itertools.pairwise(edges))
    return out + stream.finish()


def test_a_value_is_replaced_by_its_name() -> None:
    """The text around it stays byte for byte."""
    result = SCRUBBER.scrub(b"before " + TOKEN + b"\nafter")
    assert result.data == b"before [redacted:TOKEN]\nafter"


def test_a_finding_names_secret_encoding_count_and_place_but_no_value() -> None:
    """What was redacted is reported, without what it was."""
    data = b"xx " + TOKEN + b" " + TOKEN + b" " + TOKEN.hex().encode()
    findings = SCRUBBER.scrub(data).findings
    assert [(f.check, f.severity, f.where, f.detail) for f in findings] == [
        ("known-value", Severity.CRITICAL, 3, {"kind": "raw", "name": "TOKEN", "count": 2}),
        ("known-value", Severity.CRITICAL, 37, {"kind": "hex", "name": "TOKEN", "count": 1}),
    ]
    assert TOKEN.decode() not in repr(findings)


@pytest.mark.parametrize("form", forms(TOKEN))
def test_every_form_is_replaced(form: bytes) -> None:
    """Whatever form of the value is printed, it does not come through."""
    result = SCRUBBER.scrub(b"<< " + form + b" >>")
    assert result.data == b"<< [redacted:TOKEN] >>"
    assert len(result.findings) == 1


def test_line_breaks_inside_a_value_do_not_hide_it() -> None:
    """A terminal that wraps lines, or `base64 -w 8`, changes nothing."""
    wrapped = b"\r\n".join(TOKEN[i : i + 5] for i in range(0, len(TOKEN), 5))
    encoded = base64.b64encode(b"user:" + TOKEN)
    lines = b"\n".join(encoded[i : i + 8] for i in range(0, len(encoded), 8))
    assert SCRUBBER.scrub(b"a " + wrapped + b" b").data == b"a [redacted:TOKEN] b"
    assert b"[redacted:TOKEN]" in SCRUBBER.scrub(lines).data


def test_half_a_value_at_the_end_comes_out_unchanged() -> None:
    """Holding back ends with the stream."""
    stream = SCRUBBER.stream()
    assert stream.feed(b"say tok-9f8e") == b"say "
    assert stream.finish() == b"tok-9f8e"
    assert stream.findings == ()


def test_what_cannot_start_a_value_is_given_out_at_once() -> None:
    """Live progress is not held back for the length of a secret."""
    assert SCRUBBER.stream().feed(b"work done.\n") == b"work done.\n"


def test_a_long_gap_ends_a_partial_match() -> None:
    """An agent cannot make us hold back without bound by printing blanks."""
    stream = SCRUBBER.stream()
    assert stream.feed(TOKEN[:6]) == b""
    out = b""
    for _ in range(LONGEST_GAP):
        out += stream.feed(b" ")
    assert out.startswith(TOKEN[:6])
    out += stream.feed(TOKEN[6:]) + stream.finish()
    assert squeeze(out) == TOKEN


def test_without_values_data_passes() -> None:
    """Nothing known, nothing changed."""
    assert Scrubber([]).scrub(TOKEN).data == TOKEN


@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=12))
def test_where_a_stream_is_cut_never_matters(noise: bytes, cuts: list[int]) -> None:
    """Any cut of any data around a value gives what the whole gives."""
    data = noise + TOKEN + noise[:5] + base64.b64encode(noise[:7] + TOKEN) + noise
    whole = SCRUBBER.scrub(data).data
    assert in_pieces(SCRUBBER, data, cuts) == whole
    assert TOKEN not in whole


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join),
    st.lists(st.integers(0, 60), max_size=30),
)
def test_overlapping_values_leave_nothing_and_nothing_else_is_lost(
    data: bytes, cuts: list[int]
) -> None:
    """Against a slow reference: exactly the bytes of occurrences go, for any cut."""
    whole = TIGHT_SCRUBBER.scrub(data).data
    assert in_pieces(TIGHT_SCRUBBER, data, cuts) == whole
    text = whole
    for number in range(len(TIGHT)):
        text = text.replace(b"[redacted:S%d]" % number, b"")
    assert squeeze(text) == cover(data)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7])
def test_an_occurrence_that_runs_into_a_partial_one_is_removed_for_any_chunk_size(
    size: int,
) -> None:
    """After `abab` the text goes on as `babaab` begins: both must go, announced once."""
    for data in (
        b"ababaab..",
        b"..ababaab..",
        b"aba baab abab",
        b"abababbb",
        b"caba\nbabcabab abc",
    ):
        cuts = list(range(0, len(data), size))
        whole = TIGHT_SCRUBBER.scrub(data).data
        assert in_pieces(TIGHT_SCRUBBER, data, cuts) == whole
        stripped = re.sub(rb"\[redacted:S\d\]", b"", whole)
        assert squeeze(stripped) == cover(data)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([TOKEN[:7], TOKEN[7:], b"x", TOKEN]),
            st.integers(1, LONGEST_GAP + 2).map(lambda n: b" " * n),
        ),
        max_size=12,
    ),
    st.lists(st.integers(0, 1500), max_size=20),
)
def test_gaps_mean_the_same_for_any_cut(parts: list[bytes], cuts: list[int]) -> None:
    """Long and short gaps of blanks, cut anywhere, give one result."""
    data = b"".join(parts)
    assert in_pieces(SCRUBBER, data, cuts) == SCRUBBER.scrub(data).data


def test_large_data_is_taken_in_small_pieces() -> None:
    """The pieces' border is no place to hide in either."""
    data = b"-" * (LARGEST_PIECE - 5) + TOKEN + b"-" * LARGEST_PIECE
    clean = SCRUBBER.scrub(data).data
    assert clean == data.replace(TOKEN, b"[redacted:TOKEN]")


def test_findings_of_a_stream_are_those_of_the_whole() -> None:
    """Places count from the start of the stream, not of the chunk."""
    data = (b"-" * 50 + TOKEN[:9] + b"\n" + TOKEN[9:]) * 3
    stream = SCRUBBER.stream()
    for byte in data:
        stream.feed(bytes([byte]))
    stream.finish()
    assert stream.findings == SCRUBBER.scrub(data).findings


def test_a_key_file_is_found_line_by_line() -> None:
    """Every line of a long value is taken out even when it is quoted line by line."""
    lines = [base64.b64encode(bytes([n]) * 48) for n in range(40)]
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"\n".join(lines) + b"\n-----END PRIVATE KEY-----"
    assert len(key) < LONGEST_VALUE
    scrubber = Scrubber([KnownValue(name="KEY", value=key)])
    quoted = b"".join(b"> " + line + b"\n" for line in lines)
    assert scrubber.scrub(key).data == b"[redacted:KEY]"
    assert not any(line in scrubber.scrub(quoted).data for line in lines)
