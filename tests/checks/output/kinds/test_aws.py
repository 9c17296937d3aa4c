from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_an_id_and_its_secret_are_two_findings() -> None:
    """A credentials file shows both."""
    text = (
        b"[default]\naws_access_key_id = AKIA" + b"Z3MRQ6TXW2NB5VKD"
        b"\naws_secret_access_key = q7Lr/Vt2ZxK9+pWc4NfY" + b"bG8sHdMjU1eQa5TiRo3k\n"
    )
    assert [(finding.check, finding.severity) for finding in scan(text)] == [
        ("aws-access-key", Severity.HIGH),
        ("aws-secret-key", Severity.CRITICAL),
    ]


def test_forty_letters_without_a_name_are_not_a_secret() -> None:
    """Commit ids and random words of that length are everywhere."""
    assert scan(b"q7Lr/Vt2ZxK9+pWc4NfY" + b"bG8sHdMjU1eQa5TiRo3k") == ()
