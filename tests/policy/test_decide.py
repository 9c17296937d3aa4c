"""One decision for every effect, closed at the door."""

from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import Position
from ringfence.chain.words import Delivery, NetworkRule, SecretUse
from ringfence.policy.decide import decide, decide_closed
from ringfence.policy.decision import Decision, Verdict
from ringfence.policy.effect import Effect, EmitEffect, MergeEffect, NetEffect, SecretEffect
from ringfence.policy.grant import Grant

NOW = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
WHERE = Position(file="chain.yaml", line=9, column=3)
AUTH = "header:authorization"
Grants = Callable[..., Grant]


def use(**more: object) -> SecretUse:
    """Build a secret binding."""
    fields: dict[str, object] = {"name": "T", "host": "forge.test", "env": "T", **more}
    return SecretUse(where=WHERE, **fields)  # type: ignore[arg-type]


def test_a_grant_that_has_ended_allows_nothing(grant: Grants) -> None:
    """From its last moment on."""
    decision = decide(EmitEffect(event="a:b"), grant(emits=("a:b",), until=NOW), now=NOW)
    assert decision.rule == "grant-expired"


def test_a_request_is_decided_by_the_network_rules(
    grant: Grants, rule: Callable[..., NetworkRule], net: Callable[..., NetEffect]
) -> None:
    """The same answer as `decide_net` gives."""
    assert decide(net(), grant((rule(),)), now=NOW).rule == "network-allow"
    assert decide(net(), grant(), now=NOW).rule == "no-rule"


@pytest.mark.parametrize(
    ("effect", "name"),
    [
        (SecretEffect(name="T", host="forge.test", slot=AUTH), "secret-bound"),
        (SecretEffect(name="T", host="evil.test", slot=AUTH), "secret-misplaced"),
        (SecretEffect(name="T", host="a.forge.test", slot=AUTH), "secret-misplaced"),
        (SecretEffect(name="T", host="::1", slot=AUTH), "secret-misplaced"),
        (SecretEffect(name="T", host="forge.test", slot="header:x-api-key"), "secret-misplaced"),
        (SecretEffect(name="U", host="forge.test", slot=AUTH), "secret-not-granted"),
    ],
)  # fmt: skip
def test_a_secret_is_bound_to_host_and_slot(grant: Grants, effect: SecretEffect, name: str) -> None:
    """Nothing else will do."""
    decision = decide(effect, grant(secrets=(use(),)), now=NOW)
    assert decision.rule == name
    assert decision.allowed is (name == "secret-bound")


def test_a_secret_delivered_by_environment_is_never_swapped(grant: Grants) -> None:
    """The degraded mode does not get the broker's help as well."""
    effect = SecretEffect(name="T", host="forge.test", slot="header:authorization")
    given_ = grant(secrets=(use(delivery=Delivery.UNSAFE_ENV),))
    assert decide(effect, given_, now=NOW).rule == "secret-not-brokered"


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("draft:ready", "emit-granted"), ("chain:complete", "emit-granted"),
        ("other:ready", "emit-not-granted"), ("chain:start", "emit-reserved"),
        ("review:approved", "emit-reserved"),
    ],
)  # fmt: skip
def test_an_agent_emits_only_its_own_names(grant: Grants, event: str, name: str) -> None:
    """Never those of the supervisor, even when its section lists them."""
    emits = ("draft:ready", "chain:complete", "chain:start", "review:approved")
    assert decide(EmitEffect(event=event), grant(emits=emits), now=NOW).rule == name


def test_a_merge_nobody_speaks_about_is_denied(grant: Grants) -> None:
    """Unknown is no."""
    decision = decide(MergeEffect(path="a", kind="file"), grant(), now=NOW)
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "workspace-not-writable")


def test_a_broken_policy_denies(grant: Grants, rule: Callable[..., NetworkRule]) -> None:
    """An exception in a rule is a denial at the door; without the door it would escape."""
    effect = NetEffect(host="forge.test", port=443, scheme="https")
    broken = grant((rule(host="*.*"),))
    with pytest.raises(ValueError, match="host"):
        decide(effect, broken, now=NOW)
    assert decide_closed(effect, broken, now=NOW).rule == "policy-error"


def test_any_exception_denies(grant: Grants) -> None:
    """Not only those we expect, and its text is not shown."""

    def breaks(effect: Effect, grant: Grant, *, now: datetime) -> Decision:
        raise MemoryError("secret text")

    decision = decide_closed(EmitEffect(event="a"), grant(), now=NOW, decider=breaks)
    assert decision.rule == "policy-error"
    assert "secret text" not in decision.reason


def test_a_naive_clock_denies(grant: Grants) -> None:
    """A time without a zone cannot be compared."""
    naive = NOW.replace(tzinfo=None)
    assert (
        decide_closed(EmitEffect(event="a"), grant(emits=("a",)), now=naive).rule == "policy-error"
    )


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_the_door_never_raises(host: str, slot: str, event: str) -> None:
    """Whatever text comes in."""
    grant = Grant(
        run="r", agent="a", until=NOW.replace(minute=1), emits=(event,), network=(),
        secrets=(use(host=host),), env={}, workspace=None, merge="hold", isolation="",
    )  # type: ignore[arg-type]  # fmt: skip
    secret = decide_closed(SecretEffect(name="T", host=host, slot=slot), grant, now=NOW)
    assert not secret.allowed or slot == "header:authorization"
    decide_closed(EmitEffect(event=event), grant, now=NOW)
