"""Take credentials of known kinds out of data, whoever's they are.

Invariants:
1. Nothing that `credentials.find` recognises is left in what is given back.
2. A replaced credential leaves its kind, never a part of its value.
"""

from dataclasses import dataclass

from ringfence.checks.finding import Finding
from ringfence.checks.output import credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """Clean data and a finding for each credential that was in it."""

    data: bytes
    findings: tuple[Finding, ...]


def redact(data: bytes) -> Redacted:
    """Replace every credential by ``[redacted:KIND]``; places are those in the original pass."""
    findings: list[Finding] = []
    # `find` bounds how much it lists at once, so a flood takes several passes.
    while found := credentials.find(data):
        findings += credentials.scan(data)
        clean, at = bytearray(), 0
        for credential in found:
            if credential.end <= at:
                continue
            start = max(credential.start, at)
            clean += data[at:start]
            if credential.start >= at:
                clean += b"[redacted:" + credential.rule.id.encode() + b"]"
            at = credential.end
        data = bytes(clean + data[at:])
    return Redacted(data=data, findings=tuple(findings))
