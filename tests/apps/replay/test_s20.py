from pathlib import Path

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.s20 import CASES, proof, told


def test_every_attack_works_without_the_guard(tmp_path: Path, addresses: Addresses) -> None:
    """The token gets out both ways when nothing is in the way."""
    assert all(attack.off for attack in proof(tmp_path, addresses).attacks)


def test_cases_are_told_apart() -> None:
    """Every case has a name of its own, and none counts a crash of ours as a refusal."""
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert all(case.exits <= {0, 1, 2, 4} for case in CASES)


def test_an_error_helps_or_does_not_count() -> None:
    """A bare refusal leaves the user alone; a place or a hint does not."""
    assert told("error: no key\nhint: restore it")
    assert told("error: bad rule\n  --> chain.json:3:4")
    assert not told("Traceback")
    assert not told("error: no")
