"""S20 with the guard: one control spoilt at a time, each case on its own."""

from pathlib import Path

import pytest

from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.s20 import CASES, Case, healthy, run_case


@pytest.mark.box
def test_the_unspoilt_run_works(tmp_path: Path, addresses: Addresses) -> None:
    """The fixture itself runs, so each refusal below is due to what was spoilt."""
    criterion, _ = healthy(tmp_path, addresses)
    assert criterion.met, criterion.note


@pytest.mark.box
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_gets_through(case: Case, tmp_path: Path, addresses: Addresses) -> None:
    """No token anywhere, an exit code that tells the truth, an error with a hint."""
    attack, criterion = run_case(case, tmp_path, addresses)
    assert not attack.on
    assert criterion.met, criterion.note
