"""Addresses of their own for every test worker."""

import os

import pytest

from ringfence.apps.replay.addresses import Addresses


@pytest.fixture
def addresses() -> Addresses:
    """Give this worker's block of loopback addresses."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return Addresses(block=200 + int(worker))
