"""Credentials of known kinds leave data whole, whatever stands around them."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.checks.output import credentials
from ringfence.checks.output.redact import redact

AWS = b"AKIA" + b"Z7Q2M4X6K3L5P2R7"


def test_a_credential_is_replaced_by_its_kind() -> None:
    """What stands around it stays."""
    assert credentials.find(AWS)
    done = redact(b"key: " + AWS + b" end")
    assert AWS not in done.data
    assert done.data.startswith(b"key: [redacted:")
    assert done.data.endswith(b"] end")
    assert len(done.findings) == 1


def test_a_flood_is_taken_out_to_the_last_one() -> None:
    """More than one pass can list."""
    many = 3 * credentials.MOST_FINDINGS
    done = redact(b"\n".join([AWS] * many))
    assert credentials.find(done.data) == ()
    assert len(done.findings) == many


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_nothing_recognisable_is_left(before: bytes, after: bytes) -> None:
    """Whatever the surroundings."""
    assert credentials.find(redact(before + b" " + AWS + b" " + after).data) == ()
