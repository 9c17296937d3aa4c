from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_a_token_inside_a_url_is_found() -> None:
    """As `git remote -v` prints it."""
    text = b"https://oauth2:glpat-" + b"Jx7qR2mW9vKc4TzB8nLp@git.test/x.git"
    assert [(f.check, f.severity) for f in scan(text)] == [("gitlab-token", Severity.CRITICAL)]
