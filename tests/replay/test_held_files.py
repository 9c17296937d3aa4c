"""S11 with the guard, afterwards: approving one held file brings exactly that file."""

import hashlib
from pathlib import Path

import pytest

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.product import Product
from ringfence.apps.replay.s11 import SCENARIO, only_fixed
from ringfence.apps.replay.world import hashes, lay

PATH = "AGENTS.md"


@pytest.mark.box
def test_approving_one_held_file_merges_exactly_its_shown_bytes(
    tmp_path: Path, addresses: Addresses
) -> None:
    """The file that comes has the digest that was held; every other one stays out."""
    world = lay(tmp_path / "on", addresses, guarded=True)
    product = Product(world)
    with world.servers:
        plot = SCENARIO.build(world)
        before = hashes(world.repo)
        run = str(product.outcome(product.run(plot.chain))["run"])
        assert only_fixed(world, before)
        held = [r for r in product.records(run) if r["event"] == "merge.held"]
        (digest,) = {r["digest"] for r in held if r["subject"] == PATH}
        (review,) = [r for r in product.reviews() if PATH in str(r["title"])]
        assert product.answer(str(review["id"]), "approve", "read it").code == 0
        after = hashes(world.repo)
    assert hashlib.sha256((world.repo / PATH).read_bytes()).hexdigest() == digest
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"src/app.py", PATH}
