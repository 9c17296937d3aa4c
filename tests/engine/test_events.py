"""The closed set of events and its JSON."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError
from ringfence.engine.events import EVENTS, Event, decode_event, encode_event


def test_the_table_holds_every_event() -> None:
    """A new event needs a name, or it could not pass the journal."""
    assert set(EVENTS.values()) == set(get_args(Event))


@given(st.one_of(st.from_type(kind) for kind in EVENTS.values()))
def test_what_decodes_is_what_was_encoded(event: Event) -> None:
    """JSON and back changes nothing; a value out of bounds is refused, never changed."""
    try:
        back = decode_event(encode_event(event))
    except InputError:
        return
    assert back == event


def test_an_unknown_() -> None:
    """Only names of the table are read."""
    with pytest.raises(InputError):
        decode_event({"event": "exec"})
