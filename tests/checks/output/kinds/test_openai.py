from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_the_library_of_that_name_is_no_key() -> None:
    """`sk-` begins many words."""
    assert scan(b"pip install sk-" + b"learn-extra-" * 6) == ()
    key = b"sk-" + b"Hq4Wz9KcVx2RmT7nLb5YHq4Wz9KcVx2RmT7nLb5YaB3dE6fG"
    assert [finding.severity for finding in scan(key)] == [Severity.CRITICAL]
