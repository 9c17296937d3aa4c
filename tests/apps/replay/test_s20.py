from pathlib import Path

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.s20 import CASES, proof


def test_every_attack_works_without_the_guard(tmp_path: Path, addresses: Addresses) -> None:
    """The token gets out both ways when nothing is in the way."""
    assert all(attack.off for attack in proof(tmp_path, addresses).attacks)


def test_cases_are_told_apart() -> None:
    """Every case has a name of its own, and none counts a crash of ours as a refusal."""
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert all(case.exits <= {0, 1, 2, 4} for case in CASES)
