import base64
import gzip
import html
import json
import zlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError
from ringfence.checks.output.encodings import LONGEST_VALUE, forms, named_forms, squeeze

VALUE = b"s3cr3t/Value+with<odd>&\"chars'=="


def found(data: bytes) -> bool:
    """Say whether some form of VALUE stands in the data, blanks not counted."""
    return any(form in squeeze(data) for form in forms(VALUE))


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        VALUE[::-1],
        VALUE.hex().encode(),
        VALUE.hex().upper().encode(),
        quote(VALUE).encode(),
        quote(VALUE, safe="").encode(),
        b"s3cr3t%2fValue%2bwith%3codd%3e%26%22chars%27%3d%3d",
        b"".join(b"%%%02x" % b for b in VALUE),
        json.dumps(VALUE.decode()).encode(),
        json.dumps({"a": VALUE.decode()}).replace("/", "\\/").encode(),
        html.escape(VALUE.decode()).encode(),
        "".join(f"&#{b};" for b in VALUE).encode(),
        "".join(f"&#x{b:x};" for b in VALUE).encode(),
        base64.b32encode(VALUE),
        base64.b32encode(VALUE).lower(),
        VALUE.decode().encode("utf-16-le"),
        b" ".join(VALUE.hex()[i : i + 4].encode() for i in range(0, len(VALUE) * 2, 4)),
        gzip.compress(VALUE, mtime=7),
        base64.b64encode(gzip.compress(VALUE, mtime=7)),
        base64.b64encode(gzip.compress(VALUE + b"\n", mtime=7)),
        base64.b64encode(zlib.compress(VALUE)),
        b"\n".join(base64.encodebytes(b"x" * 50 + VALUE).splitlines()),
    ],
)
def test_usual_encodings_of_a_value_are_recognised(text: bytes) -> None:
    """What common tools make of a value contains one of its forms."""
    assert found(text)


@given(before=st.binary(max_size=12), after=st.binary(max_size=12))
def test_base64_is_found_whatever_stands_around_the_value(before: bytes, after: bytes) -> None:
    """All three alignments, both alphabets: neighbours cannot change the form."""
    assert found(base64.b64encode(before + VALUE + after))
    assert found(base64.urlsafe_b64encode(before + VALUE + after))


@given(before=st.binary(max_size=12), after=st.binary(max_size=12))
def test_base32_is_found_whatever_stands_around_the_value(before: bytes, after: bytes) -> None:
    """All five alignments of base32, in both cases (DNS labels are lower-case)."""
    assert found(base64.b32encode(before + VALUE + after))
    assert found(base64.b32encode(before + VALUE + after).lower())


@given(st.binary(min_size=4, max_size=80))
def test_forms_are_unique_and_none_is_dangerously_short(value: bytes) -> None:
    """Only the raw form may be shorter than six bytes; no form holds a blank."""
    if len(squeeze(value)) < 4:
        return
    made = forms(value)
    assert made[0] == squeeze(value)
    assert len(set(made)) == len(made)
    assert all(len(form) >= 6 for form in made[1:])
    assert all(squeeze(form) == form for form in made)


@pytest.mark.parametrize("value", [b"", b"abc", b"a b c ", b"\n\n\n\n\n\n"])
def test_values_too_short_to_redact_are_refused(value: bytes) -> None:
    """Redacting three letters everywhere would destroy the output and hide nothing."""
    with pytest.raises(InputError) as caught:
        forms(value)
    assert caught.value.code == "value-too-short"


def test_values_too_long_to_redact_are_refused() -> None:
    """The matcher's memory is bounded."""
    with pytest.raises(InputError) as caught:
        forms(b"x" * (LONGEST_VALUE + 1))
    assert caught.value.code == "value-too-long"


def test_long_values_have_fewer_forms() -> None:
    """A key file is looked for raw, in base64, hex and JSON."""
    names = {name for _, name in named_forms(b"key\nline" * 400)}
    assert names == {"raw", "base64", "hex", "json"}
