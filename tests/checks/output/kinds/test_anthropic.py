from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_an_anthropic_key_is_not_taken_for_an_openai_key() -> None:
    """Both begin alike; one finding, the right kind."""
    key = b"sk-ant-" + b"api03-" + b"mZ7kQ3xWv9RtL2nYb8JcD5sHf4Gp6T" * 3
    assert [finding.check for finding in scan(key)] == ["anthropic-key"]
    assert scan(key)[0].severity is Severity.CRITICAL
