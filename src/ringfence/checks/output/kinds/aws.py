"""AWS: access key ids, and secret keys where their name stands beside them.

Format: an id is AKIA (long-term) or ASIA (temporary) and 16 base-32 letters; a secret has 40
base-64 letters and no mark of its own, hence the needed name (AWS IAM, "unique identifiers").
"""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import (
    BOUNDARY,
    CredentialRule,
    Sample,
    entropy,
    looks_made_up,
    random_enough,
)


def _secret(match: re.Match[bytes]) -> Severity | None:
    value = match.group("value")
    # 40 random base-64 letters have about 4.8 bits a letter; a hex digest stays below 4.
    if looks_made_up(value) or entropy(value) < 4.1:
        return None
    return Severity.CRITICAL


_FIX = "keep it with `ringfence secrets set NAME` and bind it to the service's host in `secrets:`"
_ID = b"AKIA" + b"Z3MRQ6TXW2NB5VKD"
_SECRET = b"q7Lr/Vt2ZxK9+pWc4NfYbG8s" + b"HdMjU1eQa5TiRo3k"

ACCESS_KEY = CredentialRule(
    id="aws-access-key",
    title="AWS access key id",
    why="An access key id names an account, and its secret is seldom far away.",
    fix=_FIX,
    keywords=(b"AKIA", b"ASIA"),
    pattern=re.compile(BOUNDARY + rb"(?P<value>A[KS]IA[A-Z2-7]{16})(?![A-Za-z0-9])"),
    confirm=random_enough(Severity.HIGH),
    bad=(
        Sample(text=b"aws_access_key_id = " + _ID, note="a long-term id"),
        Sample(text=b'{"AccessKeyId":"' + b"ASIA" + _ID[4:] + b'"}', note="a temporary id"),
    ),
    good=(
        Sample(text=b"AKIA" + b"IOSFODNN7EXAMPLE", note="the id of the AWS documentation"),
        Sample(text=b"the prefix AKIA and 16 letters", note="text about ids"),
        Sample(text=b"xAKIA" + _ID[4:] + b"Q2", note="inside a longer word"),
    ),
)

SECRET_KEY = CredentialRule(
    id="aws-secret-key",
    title="AWS secret access key",
    why="With its id it signs any request the account may make.",
    fix=_FIX,
    keywords=(b"secret_access_key", b"secretaccesskey", b"aws_secret_key", b"aws_secret"),
    any_case=True,
    pattern=re.compile(
        rb"(?i:secret_?access_?key|aws_secret(?:_key)?)[\"']?[ \t]{0,8}+[:=][ \t]{0,8}+[\"']?"
        rb"(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
    ),
    confirm=_secret,
    bad=(
        Sample(text=b"AWS_SECRET_ACCESS_KEY=" + _SECRET, note="a variable"),
        Sample(text=b'"SecretAccessKey": "' + _SECRET + b'"', note="a role credential in JSON"),
    ),
    good=(
        Sample(
            text=b"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            note="the key of the AWS documentation",
        ),
        Sample(text=b"AWS_SECRET_ACCESS_KEY=${AWS_SECRET}", note="a reference"),
        Sample(
            text=b"aws_secret_key: da39a3ee5e6b4b0d3255bfef95601890afd80709",
            note="a hex digest of the same length",
        ),
    ),
)

RULES = (ACCESS_KEY, SECRET_KEY)
