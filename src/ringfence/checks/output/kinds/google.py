"""Google: API keys and OAuth client secrets."""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import BOUNDARY, CredentialRule, Sample, random_enough

_BODY = b"Sy" + b"C7kQ2xW_9vRt-L4nYb8JcD5sHf3Gp6T1m"

KEY = CredentialRule(
    id="google-api-key",
    title="Google API key or client secret",
    why="An unrestricted key reaches every API its project has switched on.",
    fix="keep it with `ringfence secrets set NAME` and bind it to the API's host in `secrets:`",
    keywords=(b"AIza", b"GOCSPX-"),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28})"
        rb"(?![A-Za-z0-9_-])"
    ),
    confirm=random_enough(Severity.HIGH),
    bad=(
        Sample(text=b"GEMINI_API_KEY=AIza" + _BODY, note="an API key"),
        Sample(text=b'"client_secret":"GOCSPX-' + _BODY[:28] + b'"', note="a client secret"),
    ),
    good=(
        Sample(text=b"AIza" + b"x" * 35, note="a placeholder"),
        Sample(text=b"AIzawa is a surname", note="a word"),
    ),
)

RULES = (KEY,)
