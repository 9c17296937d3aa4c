from pathlib import Path

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.harness import guard_off
from ringfence.apps.replay.s14 import SCENARIO


def test_every_attack_works_without_the_guard(tmp_path: Path, addresses: Addresses) -> None:
    """The proof the guarded half rests on; an attack that fails here raises VoidScenario."""
    found = guard_off(SCENARIO, tmp_path, addresses)
    assert found.attacks
    assert all(attack.off for attack in found.attacks)
