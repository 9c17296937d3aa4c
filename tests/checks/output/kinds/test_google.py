from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_a_longer_word_is_not_a_key() -> None:
    """The length is part of the format."""
    key = b"AIza" + b"SyC7kQ2xW9vRtL4nYb8JcD5sHf3Gp6T1mZa"
    assert [finding.severity for finding in scan(key)] == [Severity.HIGH]
    assert scan(key + b"9") == ()
