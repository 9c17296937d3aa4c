"""Exit codes of a run follow the house table."""

import pytest

from ringfence.control.runs import RunStatus, exit_code


@pytest.mark.parametrize(
    ("status", "open_reviews", "refused", "code"),
    [
        (RunStatus.SUCCEEDED, 0, False, 0),
        (RunStatus.SUCCEEDED, 2, False, 5),
        (RunStatus.FAILED, 0, False, 1),
        (RunStatus.FAILED, 0, True, 4),
        (RunStatus.CANCELLED, 0, False, 1),
        (RunStatus.WAITING, 1, False, 5),
        (RunStatus.RUNNING, 0, False, 1),
    ],
)
def test_exit_codes(status: RunStatus, open_reviews: int, *, refused: bool, code: int) -> None:
    """Each end has its code; a success that still waits for a person is not a plain 0."""
    assert exit_code(status, open_reviews=open_reviews, refused=refused) == code


def test_only_final_states_have_ended() -> None:
    """A waiting run is not over."""
    assert {s for s in RunStatus if s.ended} == {
        RunStatus.SUCCEEDED,
        RunStatus.FAILED,
        RunStatus.CANCELLED,
    }
