from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_any_changed_letter_breaks_the_checksum() -> None:
    """A token with a right checksum is certain; an altered one only likely."""
    body = b"k3VwRb8QyZ2nT5xJc9LmD7sHf4Gp1A"
    whole = [scan(b"ghp_" + body + b"0" * 6), scan(b"ghp_" + body[::-1] + b"Q7wZ1k")]
    assert [findings[0].severity for findings in whole] == [Severity.MEDIUM] * 2
