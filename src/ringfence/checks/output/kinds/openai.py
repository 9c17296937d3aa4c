"""OpenAI keys: project, service-account and admin keys, and the older 48-letter form."""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import BOUNDARY, CredentialRule, Sample, random_enough

# Newer keys carry this mark in the middle ("OpenAI" in base64).
_MARK = b"T3Blbk" + b"FJ"
_HALF = b"Hq4Wz9KcVx2RmT7nLb5Y"

KEY = CredentialRule(
    id="openai-key",
    title="OpenAI API key",
    why="It spends its owner's budget and reads the account's files.",
    fix="keep it with `ringfence secrets set NAME` and bind it to api.openai.com in `secrets:`",
    keywords=(b"sk-",),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,200}+"
        rb"|[A-Za-z0-9]{48}))(?![A-Za-z0-9_-])"
    ),
    confirm=random_enough(Severity.CRITICAL),
    bad=(
        Sample(text=b"OPENAI_API_KEY=sk-" + _HALF + _MARK + _HALF[::-1], note="the older form"),
        Sample(
            text=b"sk-proj-" + _HALF + b"-" + _HALF + _MARK + b"_" + _HALF[::-1],
            note="a project key",
        ),
    ),
    good=(
        Sample(text=b"sk-proj-your-key-goes-here-and-should-be-kept-secret", note="a placeholder"),
        Sample(text=b"sk-learn is a library; sk-cosmetics is a shop", note="words"),
        Sample(text=b"sk-" + b"x" * 48, note="a placeholder of the right length"),
    ),
)

RULES = (KEY,)
