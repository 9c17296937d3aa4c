from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_a_header_without_a_body_is_no_key() -> None:
    """Source code compares with the header line."""
    head = b"-----BEGIN " + b"EC PRIVATE KEY-----"
    assert scan(b'if text.startswith("' + head + b'"):') == ()
    body = b"MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49"
    findings = scan(head + b"\n" + body + b"\n")
    assert [finding.severity for finding in findings] == [Severity.CRITICAL]
