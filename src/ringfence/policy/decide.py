"""The one decision: any effect against a grant.

Invariants:
1. A grant that has ended allows nothing.
2. What policy does not know, it denies; `decide_closed` turns an exception of ours into a denial
   with rule ``policy-error``, so that a broken rule can only take away.
3. The same effect gets the same answer through every door: there is no other entry.

It performs nothing and records nothing; the door does both, in that order: record, then effect.
"""

from datetime import datetime
from typing import Protocol, assert_never

from ringfence.chain.words import CHAIN_START, Delivery
from ringfence.policy.control_files import decide_merge
from ringfence.policy.decision import Decision
from ringfence.policy.effect import Effect, EmitEffect, MergeEffect, NetEffect, SecretEffect
from ringfence.policy.egress import decide_net
from ringfence.policy.grant import Grant
from ringfence.policy.hosts import parse_host

_RESERVED_NOUN = "review:"


class Decider(Protocol):
    """What decides; tests put a broken one behind `decide_closed`."""

    def __call__(self, effect: Effect, grant: Grant, *, now: datetime) -> Decision:
        """Decide one effect."""


def decide(effect: Effect, grant: Grant, *, now: datetime) -> Decision:
    """Decide one effect under a grant.

    Raises ValueError for a malformed rule and TypeError for a naive ``now``; a door therefore
    calls `decide_closed`.
    """
    if now >= grant.until:
        return Decision.deny("grant-expired", "the grant has ended", fix="start a new run")
    match effect:
        case NetEffect():
            return decide_net(effect, grant.network)
        case SecretEffect():
            return _decide_secret(effect, grant)
        case EmitEffect():
            return _decide_emit(effect, grant)
        case MergeEffect():
            return decide_merge(effect, grant)
        case _:  # pragma: no cover - mypy proves it cannot be reached
            assert_never(effect)


def decide_closed(
    effect: Effect, grant: Grant, *, now: datetime, decider: Decider = decide
) -> Decision:
    """Decide at a door: like `decide`, but an exception is a denial. Never raises."""
    try:
        return decider(effect, grant, now=now)
    except Exception as error:  # noqa: BLE001 - whatever breaks in policy must end as a denial
        kind = type(error).__name__
        return Decision.deny("policy-error", f"the policy could not be applied ({kind})")


def _decide_secret(effect: SecretEffect, grant: Grant) -> Decision:
    """Allow a secret only toward its host, in its slot, and only where it is a placeholder."""
    uses = [use for use in grant.secrets if use.name == effect.name]
    if not uses:
        return Decision.deny("secret-not-granted", "the agent was not given this secret")
    host = parse_host(f"[{effect.host}]" if ":" in effect.host else effect.host)
    for use in uses:
        if use.delivery is not Delivery.PLACEHOLDER:
            return Decision.deny(
                "secret-not-brokered", "the secret is delivered another way", where=use.where
            )
        if parse_host(use.host) == host and use.slot == effect.slot:
            reason = "the secret is bound to this host and slot"
            return Decision.allow("secret-bound", reason, where=use.where)
    return Decision.deny(
        "secret-misplaced",
        "the secret is bound to another host or slot",
        where=uses[0].where,
        fix=f"use it toward {uses[0].host} in {uses[0].slot}",
    )


def _decide_emit(effect: EmitEffect, grant: Grant) -> Decision:
    """Allow an event only by name, never one that we emit ourselves."""
    if effect.event == CHAIN_START or effect.event.startswith(_RESERVED_NOUN):
        return Decision.deny("emit-reserved", "only the supervisor emits this event")
    if effect.event not in grant.emits:
        return Decision.deny(
            "emit-not-granted",
            "the event is not in the agent's emits",
            fix="add it to the agent's emits",
        )
    return Decision.allow("emit-granted", "the event is in the agent's emits")
