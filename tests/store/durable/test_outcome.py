"""How the end of a step is written down."""

import pytest

from ringfence.chain.errors import InternalError
from ringfence.engine.durable import StepError
from ringfence.store.durable.outcome import attempt, time_of, value_of


def test_a_value_comes_back() -> None:
    """What the step returned, as JSON."""
    assert value_of(attempt(lambda a, b: (a, b), (1, "x"))) == [1, "x"]


def test_an_exception_comes_back_as_a_step_error() -> None:
    """Kind and text, the text bounded; never the object."""

    def fail() -> None:
        raise OSError("x" * 5_000)

    outcome = attempt(fail, ())
    with pytest.raises(StepError) as error:
        value_of(outcome)
    assert (error.value.kind, len(error.value.message)) == ("OSError", 1_000)


def test_a_result_that_is_no_json_is_an_error_of_the_step() -> None:
    """The journal is not left without an answer."""
    with pytest.raises(StepError, match="InputError"):
        value_of(attempt(lambda: {1, 2}, ()))


def test_what_ends_a_thread_passes_through() -> None:
    """Only exceptions of the step are its end; an interrupt is not."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupt, ())


@pytest.mark.parametrize("journalled", [None, [], {"other": 1}, {"kind": 1, "message": "x"}])
def test_another_shape_is_refused(journalled: object) -> None:
    """A journalled end is a value or an error."""
    with pytest.raises(InternalError):
        value_of(journalled)


def test_a_time_is_a_number() -> None:
    """Nothing else is taken for one."""
    assert time_of(1.5) == 1.5
    with pytest.raises(InternalError):
        time_of("1.5")
