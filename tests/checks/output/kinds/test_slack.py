from ringfence.checks.finding import Severity
from ringfence.checks.output.credentials import scan


def test_the_url_of_a_web_hook_is_a_secret() -> None:
    """It needs no token beside it."""
    url = b"https://hooks.slack.com/services/T04K2QF9Z/" + b"B05M3RG8Y/vN4kQz8RtW2xLb6YpC9mJd3H"
    assert [(f.check, f.severity) for f in scan(url)] == [("slack-webhook", Severity.HIGH)]
