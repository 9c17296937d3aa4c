"""What every implementation of the ports shares."""

import inspect

from ringfence.engine.durable import DurableEngine, StepError, WorkflowContext


def test_a_step_error_says_what_was_raised() -> None:
    """Kind and message are kept apart, and both are in the text."""
    error = StepError("ValueError", "no such thing")
    assert (error.kind, error.message) == ("ValueError", "no such thing")
    assert str(error) == "ValueError: no such thing"


def test_the_ports_stay_small_enough_to_replace() -> None:
    """About ten verbs each: more would tie us to one engine."""
    for port in (DurableEngine, WorkflowContext):
        verbs = [name for name, _ in inspect.getmembers(port) if not name.startswith("_")]
        assert len(verbs) <= 10
