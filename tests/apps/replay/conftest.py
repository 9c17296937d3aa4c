"""Addresses of their own for every test worker, and worlds to try things in."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.world import World, lay


@pytest.fixture
def addresses() -> Addresses:
    """Give this worker's block of loopback addresses."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return Addresses(block=100 + int(worker))


@pytest.fixture
def world(tmp_path: Path, addresses: Addresses) -> Iterator[World]:
    """Give a laid world with its servers up, as the guarded half sees it."""
    laid = lay(tmp_path / "world", addresses, guarded=True)
    with laid.servers:
        yield laid
    laid.clean()
