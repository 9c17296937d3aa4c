"""Stripe keys: secret and restricted, live and test, and web hook signing secrets."""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import BOUNDARY, CredentialRule, Sample, looks_made_up


def _live_or_test(match: re.Match[bytes]) -> Severity | None:
    value = match.group("value")
    if looks_made_up(value):
        return None
    return Severity.MEDIUM if b"_test_" in value[:9] else Severity.CRITICAL


_BODY = b"51Kd9sXw3QzRv7TnYb2LmHc6"

KEY = CredentialRule(
    id="stripe-key",
    title="Stripe secret key",
    why="A live key moves money; a test key shows how the live one is kept.",
    fix="keep it with `ringfence secrets set NAME` and bind it to api.stripe.com in `secrets:`",
    keywords=(b"sk_live_", b"rk_live_", b"sk_test_", b"rk_test_", b"whsec_"),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>(?:[sr]k_(?:live|test)_[A-Za-z0-9]{24,120}+"
        rb"|whsec_[A-Za-z0-9+/]{32,64}+))(?![A-Za-z0-9_])"
    ),
    confirm=_live_or_test,
    bad=(
        Sample(text=b"STRIPE=sk_live_" + _BODY, note="a live key"),
        Sample(text=b"rk_test_" + _BODY * 2, note="a restricted test key"),
        Sample(text=b"whsec_" + _BODY + b"Gf5Jp8Qt", note="a signing secret"),
    ),
    good=(
        Sample(text=b"pk_live_" + _BODY, note="a publishable key is public"),
        Sample(text=b"sk_test_" + b"xxxx" * 6, note="a placeholder"),
    ),
)

RULES = (KEY,)
