import base64

from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_a_header_without_an_algorithm_is_no_token() -> None:
    """Three dotted pieces of base64 may be anything."""
    body = b".eyJzdWIiOiJ4In0." + b"q7LrVt2ZxK9pWc4NfYbG8sHd"
    signed = base64.urlsafe_b64encode(b'{"alg":"ES256"}').rstrip(b"=") + body
    other = base64.urlsafe_b64encode(b'{"typ":"other"}').rstrip(b"=") + body
    assert [(f.check, f.severity) for f in scan(signed)] == [("jwt", Severity.HIGH)]
    assert scan(other) == ()
