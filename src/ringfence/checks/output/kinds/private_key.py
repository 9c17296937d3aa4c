"""Private keys in PEM: PKCS#1, PKCS#8, EC and OpenSSH (RFC 7468)."""

import re

from ringfence.checks.finding import Severity
from ringfence.checks.output.credential_rule import CredentialRule, Sample


def _body(match: re.Match[bytes]) -> Severity | None:
    # Key material repeats letters (OpenSSH pads with A), so only plain fillers are let go.
    return Severity.CRITICAL if len(set(match.group("value"))) >= 16 else None


_LINE = b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" + b"BKcwggSjAgEAAoIBAQC7Vv3kQz8RtW2x"
_HEAD = b"-----BEGIN " + b"PRIVATE KEY-----"
_HEAD_SSH = b"-----BEGIN " + b"OPENSSH PRIVATE KEY-----"

KEY = CredentialRule(
    id="private-key",
    title="Private key (PEM)",
    why="Whoever has it is whoever it stands for: a host, a person, a service account.",
    fix="keep it with `ringfence secrets set NAME`; if it was ever shared, make a new one",
    keywords=(b"-----BEGIN ",),
    pattern=re.compile(
        rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----"
        # Line ends may be escaped, as in JSON.
        rb"(?P<value>[A-Za-z0-9+/=\s\\]{64,16384}+)"
    ),
    confirm=_body,
    bad=(
        Sample(text=_HEAD + b"\n" + _LINE + b"\n", note="PKCS#8"),
        Sample(text=b'{"key":"' + _HEAD_SSH + b"\\n" + _LINE + b'\\n"}', note="OpenSSH in JSON"),
    ),
    good=(
        Sample(text=b"-----BEGIN " + b"PUBLIC KEY-----\n" + _LINE, note="a public key"),
        Sample(text=_HEAD + b"\n...\n-----END PRIVATE KEY-----", note="documentation"),
    ),
)

RULES = (KEY,)
