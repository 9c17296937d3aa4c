"""GitLab tokens: `glpat-` and its relatives, in the 20-letter and the routable form.

Format: GitLab documentation, "Token overview", prefixes; the routable form ends in a dot and nine
letters of length and checksum.
"""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import BOUNDARY, CredentialRule, Sample, random_enough

_BODY = b"Jx7-qR2mW_9vKc4TzB8n"

TOKEN = CredentialRule(
    id="gitlab-token",
    title="GitLab token",
    why="It acts as a user, a project or a runner on a GitLab server.",
    fix="keep it with `ringfence secrets set NAME` and bind it to the server's host in `secrets:`",
    keywords=(b"glpat-", b"gldt-", b"glrt-", b"glcbt-", b"glptt-", b"gloas-", b"glsoat-"),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>gl(?:pat|dt|rt|cbt|ptt|oas|soat)-"
        rb"[A-Za-z0-9_-]{20,300}+(?:\.[0-9a-z]{2}[0-9a-z]{7})?)(?![A-Za-z0-9_-])"
    ),
    confirm=random_enough(Severity.CRITICAL),
    bad=(
        Sample(text=b"PRIVATE-TOKEN: glpat-" + _BODY, note="a personal token in a header"),
        Sample(text=b"glpat-" + _BODY + b"Lp3Xs6d" + b".01" + b"0z7k2m9", note="the routable form"),
    ),
    good=(
        Sample(text=b"glpat-xxxxxxxxxxxxxxxxxxxx", note="a placeholder"),
        Sample(text=b"glpat-" + _BODY[:8], note="too short"),
    ),
)

RULES = (TOKEN,)
