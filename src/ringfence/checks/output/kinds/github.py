"""GitHub and npm tokens, whose last six letters are a checksum of the rest.

Format: `ghp_` personal, `gho_` OAuth, `ghu_` user-to-server, `ghs_` server-to-server, `ghr_`
refresh, `npm_` npm: 30 random letters and a CRC-32 of them in base 62 (GitHub engineering blog,
"Behind GitHub's new authentication token formats", 2021). How the checksum of `github_pat_` is
made is not published, so only its structure is looked at.
"""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import (
    BOUNDARY,
    CredentialRule,
    Sample,
    crc32_base62,
    looks_made_up,
    random_enough,
)


def _checked(match: re.Match[bytes]) -> Severity | None:
    body = match.group("body")
    if crc32_base62(body[:30]) == body[30:]:
        return Severity.CRITICAL
    # Altered or invented: still reported, lower, because the checksum may be of a newer kind.
    return None if looks_made_up(body) else Severity.MEDIUM


_FIX = "keep it with `ringfence secrets set NAME` and bind it to the API host in `secrets:`"
_BODY = b"k3VwRb8QyZ2nT5xJc9LmD7sHf4Gp1A"
_TOKEN = _BODY + crc32_base62(_BODY)

TOKEN = CredentialRule(
    id="github-token",
    title="GitHub token",
    why="It acts as its owner in every repository its scopes reach.",
    fix=_FIX,
    keywords=(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>gh[pousr]_(?P<body>[A-Za-z0-9]{36}))(?![A-Za-z0-9_])"
    ),
    confirm=_checked,
    bad=(
        Sample(text=b"token: ghp_" + _TOKEN, note="a personal token with a right checksum"),
        Sample(text=b"https://x-access-token:ghs_" + _TOKEN + b"@github.test/", note="in a URL"),
        Sample(text=b"gho_" + _TOKEN[:-1] + b"0", note="a checksum that is not right"),
    ),
    good=(
        Sample(text=b"ghp_" + b"x" * 36, note="a placeholder"),
        Sample(text=b"ghp_" + _TOKEN[::-1] + b"Zz", note="too long"),
        Sample(text=b"ghp_notatoken", note="too short"),
    ),
)

FINE_GRAINED = CredentialRule(
    id="github-fine-grained-token",
    title="GitHub fine-grained token",
    why="It acts as its owner in the repositories it was made for.",
    fix=_FIX,
    keywords=(b"github_pat_",),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})(?![A-Za-z0-9_])"
    ),
    confirm=random_enough(Severity.CRITICAL),
    bad=(
        Sample(text=b"github_pat_" + _TOKEN[:22] + b"_" + _TOKEN + _TOKEN[:23], note="plain"),
        Sample(
            text=b"GH=github_pat_" + _TOKEN[5:27] + b"_" + _TOKEN[::-1] + _TOKEN[:23] + b"\n",
            note="in a variable",
        ),
    ),
    good=(
        Sample(text=b"github_pat_" + b"X" * 22 + b"_" + b"X" * 59, note="a placeholder"),
        Sample(text=b"github_pat_" + _TOKEN[:22], note="only its first part"),
    ),
)

NPM = CredentialRule(
    id="npm-token",
    title="npm access token",
    why="It publishes packages in its owner's name.",
    fix=_FIX,
    keywords=(b"npm_",),
    pattern=re.compile(BOUNDARY + rb"(?P<value>npm_(?P<body>[A-Za-z0-9]{36}))(?![A-Za-z0-9_])"),
    confirm=_checked,
    bad=(
        Sample(text=b"//registry.test/:_authToken=npm_" + _TOKEN, note="in .npmrc"),
        Sample(text=b"NPM_TOKEN=npm_" + _TOKEN[:-1] + b"0", note="a checksum that is not right"),
    ),
    good=(
        Sample(text=b"npm_config_registry=https://registry.test", note="a setting"),
        Sample(text=b"npm_" + b"0" * 36, note="a placeholder"),
    ),
)

RULES = (TOKEN, FINE_GRAINED, NPM)
