from pathlib import Path

import pytest

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.criteria import Trace
from ringfence.apps.replay.harness import Attack, Plot, Scenario, VoidScenario, guard_off, judged
from ringfence.apps.replay.orders import order
from ringfence.apps.replay.world import World
from ringfence.audit.record import EventName


def scenario(job: str, *, needed: bool = True) -> Scenario:
    """Give a scenario whose one attack is a file in the repository."""

    def build(world: World) -> Plot:
        agent = world.agent("a", job, triggers=["chain:start"], emits=["chain:complete"])
        attack = Attack(name="plant", worked=lambda w: (w.repo / "planted").exists(), needed=needed)
        return Plot(
            chain={"name": "t", "agents": [agent]}, attacks=(attack,), honest=lambda _: True
        )

    return Scenario(name="t", title="t", build=build)


def test_an_attack_that_works_is_proof(tmp_path: Path, addresses: Addresses) -> None:
    """The unguarded half gives one result per attack."""
    found = guard_off(scenario(order("write", path="planted", text="x")), tmp_path, addresses)
    assert [(attack.name, attack.off) for attack in found.attacks] == [("plant", True)]


def test_an_attack_that_does_not_work_voids_the_scenario(
    tmp_path: Path, addresses: Addresses
) -> None:
    """Without proof there is no guarded half, and the attack is named."""
    with pytest.raises(VoidScenario, match="plant"):
        guard_off(scenario(order("say", text="hello")), tmp_path, addresses)


def test_what_the_host_itself_forbids_proves_nothing(tmp_path: Path, addresses: Addresses) -> None:
    """An attack the kernel settings rule out does not void the rest."""
    assert guard_off(scenario("", needed=False), tmp_path, addresses).attacks[0].off


def test_a_verdict_takes_rule_and_reason_from_the_record(world: World) -> None:
    """Nothing in a result is made up: no record, no rule."""
    trace = Trace(event=EventName.EGRESS_DENY, needles=("evil.test",))
    attack = Attack(name="send", worked=lambda _: False, trace=trace)
    assert judged(world, attack, off=True).rule == ""
    world.records = [
        {"event": "egress.deny", "subject": "evil.test", "rule": "no-route", "reason": "why"}
    ]
    found = judged(world, attack, off=True)
    assert (found.held, found.rule, found.reason) == (True, "no-route", "why")
