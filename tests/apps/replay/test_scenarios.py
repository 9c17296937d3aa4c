from pathlib import Path

import pytest

from ringfence.apps.replay.scenarios import SCENARIOS, run_scenario


def test_the_table_names_the_scenarios() -> None:
    """Every scenario is reached by its id."""
    assert sorted(SCENARIOS) == ["s11", "s13", "s14", "s20"]


def test_an_unknown_scenario_is_an_error(tmp_path: Path) -> None:
    """A typing mistake is never a pass."""
    with pytest.raises(KeyError):
        run_scenario("s99", tmp_path)
