"""An open step decides under its grant; a closed one decides no."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.audit.record import EventName
from ringfence.chain.errors import Position, Refused
from ringfence.chain.words import Merge
from ringfence.gateway.authority import Authority
from ringfence.gateway.messages import Route, record_from_json
from ringfence.gateway.step import Step, require
from ringfence.policy.decision import Decision
from ringfence.policy.effect import NetEffect
from ringfence.policy.grant import Grant

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
EFFECT = NetEffect(host="a.test", port=443, scheme="https")


@pytest.fixture
def step(rule: Callable[..., Any], lease: Callable[..., Any]) -> Step:
    """A step with one rule and one lease."""
    grant = Grant(
        run="r", agent="a", until=NOW + dt.timedelta(minutes=1), emits=(), secrets=(), env={},
        network=(rule("a.test", 443),), workspace=None, merge=Merge.HOLD, isolation="",
    )  # fmt: skip
    route = Route(run="r", agent="a", step="a#1", grant=grant, leases=(lease(),))
    return Step(route=route, authority=Authority([], now=NOW), clock=lambda: NOW)


def test_a_closed_step_is_denied_everything(step: Step) -> None:
    """Also what was allowed a moment ago."""
    assert step.decide(EFFECT).allowed
    step.closed = True
    assert step.decide(EFFECT).rule == "step-closed"


def test_a_record_says_where_the_rule_stands(step: Step) -> None:
    """With run, step, agent, verdict and reason."""
    record = step.record(EventName.EGRESS_ALLOW, subject="x", decision=step.decide(EFFECT))
    assert record_from_json(record).to_json() == record
    assert record == {
        "v": 1, "time": "2026-11-21T00:00:00.000000+00:00", "event": "egress.allow",
        "actor": "broker", "run": "r", "step": "a#1", "agent": "a", "rule": "network-allow",
        "decision": "allow", "reason": "a network rule covers this request",
        "where": "chain.yaml:7:3", "subject": "x",
    }  # fmt: skip
    assert step.key == ("r", "a#1")


def test_only_allow_passes_the_door() -> None:
    """Deny is told with its fix, hold with why nobody was asked."""
    where = Position(file="f", line=1, column=1)
    allowed = Decision.allow("a", "b")
    assert require(allowed) is allowed
    with pytest.raises(Refused) as denied:
        require(Decision.deny("no-rule", "b", where=where, fix="c"))
    assert (denied.value.code, denied.value.hint, denied.value.where) == ("no-rule", "c", where)
    with pytest.raises(Refused) as held:
        require(Decision.ask("network-hold", "b", where=where))
    assert held.value.code == "hold-unanswered"


def test_a_step_knows_what_it_would_be_bad_to_see(
    step: Step, value: bytes, placeholder: str
) -> None:
    """Values in replies, placeholders in requests."""
    assert step.values.find(value) == "GH_TOKEN"
    assert step.placeholders.find(placeholder.encode()) == "GH_TOKEN"
