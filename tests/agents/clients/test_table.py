import pytest

from ringfence.agents.clients.table import CLIENTS, client_named
from ringfence.chain.errors import InputError, Position


def test_a_client_is_found_by_the_name_chains_use() -> None:
    """The key of the table is the client's own name."""
    assert all(client_named(name).name == name for name in CLIENTS)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("claud", "did you mean 'claude'?"),
        ("Gemini", "did you mean 'gemini'?"),
        ("vim", "clients are: claude, codex, gemini, kiro"),
    ],
)
def test_an_unknown_client_names_the_nearest(name: str, hint: str) -> None:
    """At its place in the chain file."""
    where = Position(file="c.yaml", line=1, column=1)
    with pytest.raises(InputError) as caught:
        client_named(name, where=where)
    assert caught.value.code == "unknown-client"
    assert caught.value.hint == hint
    assert caught.value.where == where
