import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.product import Product
from ringfence.apps.replay.s20 import (
    CASES,
    Setup,
    _disk_full,
    _no_bwrap,
    _no_namespaces,
    proof,
    told,
)
from ringfence.apps.replay.world import World

BOX = ("bwrap", "--unshare-user", "--unshare-net", "--ro-bind", "/", "/", "true")


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


@pytest.mark.parametrize("spoil", [_no_namespaces, _no_bwrap])
def test_the_host_really_lacks_what_is_taken_away(
    spoil: Callable[[Setup], None], world: World
) -> None:
    """The same box starts before and does not start under the wrapper; other programs do."""
    setup = Setup(world=world, product=Product(world), chain={})
    spoil(setup)
    wrapper = setup.product.wrapper
    assert subprocess.run(BOX, check=False).returncode == 0
    assert subprocess.run([*wrapper, "true"], check=False).returncode == 0
    assert subprocess.run([*wrapper, *BOX], check=False, capture_output=True).returncode != 0


def test_the_disk_really_is_full(world: World) -> None:
    """Under the wrapper a file cannot grow past the audit log's size."""
    world.data.mkdir()
    (world.data / "audit.sqlite").write_bytes(b"." * 512)
    setup = Setup(world=world, product=Product(world), chain={})
    _disk_full(setup)
    grow = f"printf '%0600d' 1 > {world.root / 'grown'}"
    done = subprocess.run([*setup.product.wrapper, "sh", "-c", grow], check=False)
    assert done.returncode != 0
    assert (world.root / "grown").stat().st_size == 512
