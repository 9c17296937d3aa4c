from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_a_test_key_is_less_than_a_live_one() -> None:
    """It moves no money, but shows a habit."""
    body = b"51Kd9sXw3QzRv7TnYb2LmHc6"
    severities = [scan(b"sk_" + mode + b"_" + body)[0].severity for mode in (b"live", b"test")]
    assert severities == [Severity.CRITICAL, Severity.MEDIUM]
