from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_a_password_with_odd_characters_is_found() -> None:
    """Percent signs, colons and exclamation marks are common in them."""
    text = b"postgresql+asyncpg://svc:" + b"a%2Fb:c!9zQ@db.test/x"
    assert [(f.check, f.severity) for f in scan(text)] == [("database-url", Severity.HIGH)]
