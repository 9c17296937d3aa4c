"""Find credentials of known kinds in bytes, whoever they belong to.

Invariants:
1. Findings name kind and place; the value is never in them.
2. Time is linear: a rule is tried only at its keywords, with bounded repeats.

A credential that is in our vault is found by its value (`scrub`); this finds the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.checks.finding import Finding, Severity
from ringfence.checks.output.credential_rule import CredentialRule
from ringfence.checks.output.kinds import (
    anthropic,
    aws,
    database_url,
    github,
    gitlab,
    google,
    jwt,
    openai,
    private_key,
    slack,
    stripe,
)

RULES: tuple[CredentialRule, ...] = (
    *anthropic.RULES,
    *aws.RULES,
    *database_url.RULES,
    *github.RULES,
    *gitlab.RULES,
    *google.RULES,
    *jwt.RULES,
    *openai.RULES,
    *private_key.RULES,
    *slack.RULES,
    *stripe.RULES,
)

# More of one kind in one output adds nothing to the decision.
MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential in some data: which rule, from which to which byte, how bad."""

    rule: CredentialRule
    start: int
    end: int
    severity: Severity


def find(data: bytes) -> tuple[Credential, ...]:
    """Give the credentials in the data by place, at most `MOST_FINDINGS` of each kind."""
    lowered = data.lower()
    found = [credential for rule in RULES for credential in _apply(rule, data, lowered)]
    return tuple(sorted(found, key=lambda credential: (credential.start, credential.rule.id)))


def scan(data: bytes) -> tuple[Finding, ...]:
    """Give a finding for each credential in the data."""
    return tuple(
        Finding(
            check=credential.rule.id,
            severity=credential.severity,
            message=f"{credential.rule.title} at byte {credential.start}",
            where=credential.start,
            detail={"kind": credential.rule.id, "bytes": credential.end - credential.start},
        )
        for credential in find(data)
    )


def _apply(rule: CredentialRule, data: bytes, lowered: bytes) -> Iterator[Credential]:
    haystack = lowered if rule.any_case else data
    seen: set[int] = set()
    for keyword in rule.keywords:
        at = haystack.find(keyword)
        while at >= 0 and len(seen) < MOST_FINDINGS:
            match = rule.pattern.match(data, at)
            if match is not None and match.start() not in seen:
                severity = rule.confirm(match)
                if severity is not None:
                    seen.add(match.start())
                    yield Credential(
                        rule=rule, start=match.start(), end=match.end(), severity=severity
                    )
            after = match.end() if match is not None else at + len(keyword)
            at = haystack.find(keyword, after)
