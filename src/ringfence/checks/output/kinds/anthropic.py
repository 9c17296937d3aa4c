"""Anthropic keys: API, admin and OAuth tokens."""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import BOUNDARY, CredentialRule, Sample, random_enough

_BODY = b"mZ7-kQ3xWv_9RtL2nYb8JcD5sHf4Gp6T"

KEY = CredentialRule(
    id="anthropic-key",
    title="Anthropic API key",
    why="It spends its owner's budget; an admin key also makes further keys.",
    fix="keep it with `ringfence secrets set NAME` and bind it to api.anthropic.com in `secrets:`",
    keywords=(b"sk-ant-",),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>sk-ant-[a-z]{2,8}[0-9]{2}-[A-Za-z0-9_-]{80,128}+)"
        rb"(?![A-Za-z0-9_-])"
    ),
    confirm=random_enough(Severity.CRITICAL),
    bad=(
        Sample(text=b"x-api-key: sk-ant-api03-" + _BODY * 2 + _BODY[:29] + b"AA", note="API key"),
        Sample(text=b"sk-ant-oat01-" + _BODY[::-1] * 3, note="an OAuth token"),
    ),
    good=(
        Sample(text=b"sk-ant-api03-...", note="an abbreviation"),
        Sample(text=b"sk-ant-api03-" + b"x" * 95, note="a placeholder"),
    ),
)

RULES = (KEY,)
