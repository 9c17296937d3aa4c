"""The closed set of commands and its JSON."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError
from ringfence.engine.commands import COMMANDS, Command, decode_command, encode_command


def test_the_table_holds_every_command() -> None:
    """A new command needs a name, or it could not pass the journal."""
    assert set(COMMANDS.values()) == set(get_args(Command))


@given(st.one_of(st.from_type(kind) for kind in COMMANDS.values()))
def test_what_decodes_is_what_was_encoded(command: Command) -> None:
    """JSON and back changes nothing; a value out of bounds is refused, never changed."""
    try:
        back = decode_command(encode_command(command))
    except InputError:
        return
    assert back == command


def test_an_unknown_() -> None:
    """Only names of the table are read."""
    with pytest.raises(InputError):
        decode_command({"command": "exec"})
