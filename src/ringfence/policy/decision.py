"""A decision: what policy answers to every request, whichever door it came through.

Invariants:
1. Every decision names a rule; a denial also names a reason and what would have to change.
2. Only `Verdict.ALLOW` lets an effect happen; anything unforeseen is built with `Decision.deny`.
"""

from dataclasses import dataclass
from enum import StrEnum

from ringfence.chain.errors import Position


class Verdict(StrEnum):
    """The three answers; `ask` waits for a person and means deny until one answered."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One answer: verdict, rule id, reason in one line, place of the rule, smallest fix."""

    verdict: Verdict
    rule: str
    reason: str
    where: Position | None = None
    fix: str = ""

    @property
    def allowed(self) -> bool:
        """Say whether the effect may happen now."""
        return self.verdict is Verdict.ALLOW

    @classmethod
    def allow(cls, rule: str, reason: str, *, where: Position | None = None) -> "Decision":
        """Build a decision that lets the effect happen."""
        return cls(verdict=Verdict.ALLOW, rule=rule, reason=reason, where=where)

    @classmethod
    def ask(
        cls, rule: str, reason: str, *, where: Position | None = None, fix: str = ""
    ) -> "Decision":
        """Build a decision that waits for a person."""
        return cls(verdict=Verdict.ASK, rule=rule, reason=reason, where=where, fix=fix)

    @classmethod
    def deny(
        cls, rule: str, reason: str, *, where: Position | None = None, fix: str = ""
    ) -> "Decision":
        """Build a refusal."""
        return cls(verdict=Verdict.DENY, rule=rule, reason=reason, where=where, fix=fix)
