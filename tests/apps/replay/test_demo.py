from pathlib import Path

import pytest

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.demo import SCENARIO, demo
from ringfence.apps.replay.harness import guard_off
from ringfence.chain.errors import InputError


def test_every_attack_of_the_demo_lands_without_the_guard(
    tmp_path: Path, addresses: Addresses
) -> None:
    """Token, key, hook, public comment and forged approval: all of them."""
    found = guard_off(SCENARIO, tmp_path, addresses)
    assert len(found.attacks) == 6
    assert all(attack.off for attack in found.attacks)


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    """The demo never removes what it did not make."""
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError):
        demo(print, tmp_path, json=False)
    assert (tmp_path / "thesis.txt").exists()
