"""The guarded halves: each attack that works without the guard must fail with it."""

from pathlib import Path

import pytest

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.scenarios import run_scenario


@pytest.mark.box
@pytest.mark.parametrize("name", ["s11", "s13", "s14"])
def test_the_incident_does_not_happen_again(
    name: str, tmp_path: Path, addresses: Addresses
) -> None:
    """Every attack is held, the honest job is done, and the record tells it."""
    result = run_scenario(name, tmp_path, addresses)
    assert result.failures() == [], result.table()
