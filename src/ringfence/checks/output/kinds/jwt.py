"""JSON Web Tokens, signed (RFC 7519): the header is decoded, so other base64 does not count."""

import base64
import binascii
import json
import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import BOUNDARY, CredentialRule, Sample


def _part(value: dict[str, str]) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def _signed(match: re.Match[bytes]) -> Severity | None:
    header = match.group("header")
    try:
        parsed = json.loads(base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("alg"), str):
        return None
    return Severity.HIGH


_SIGNATURE = b"q7LrVt2ZxK9pWc4NfYbG8sHdMjU1eQa5" + b"TiRo3kXz6Bw"
_TOKEN = _part({"alg": "HS256", "typ": "JWT"}) + b"." + _part({"sub": "build-bot"})

TOKEN = CredentialRule(
    id="jwt",
    title="Signed JSON Web Token",
    why="It is a login until it expires.",
    fix="keep it with `ringfence secrets set NAME`; better, give the agent a short-lived one",
    keywords=(b"eyJ",),
    pattern=re.compile(
        BOUNDARY + rb"(?P<value>(?P<header>eyJ[A-Za-z0-9_-]{10,1024}+)"
        rb"\.eyJ[A-Za-z0-9_-]{8,16384}+\.[A-Za-z0-9_-]{22,1024}+)"
    ),
    confirm=_signed,
    bad=(
        Sample(text=b"authorization: Bearer " + _TOKEN + b"." + _SIGNATURE, note="in a header"),
        Sample(text=b'{"id_token":"' + _TOKEN + b"." + _SIGNATURE + b'"}', note="in JSON"),
    ),
    good=(
        Sample(text=_TOKEN + b".", note="without a signature it opens nothing"),
        Sample(
            text=b"eyJhbGciOiJub3RfanNvbi" + b"." + b"eyJzdWIiOiJ4In0" + b"." + _SIGNATURE,
            note="a header that is not JSON",
        ),
    ),
)

RULES = (TOKEN,)
