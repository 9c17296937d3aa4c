import pytest

from ringfence.agents.clients.client import LONGEST_ARGUMENT, Client
from ringfence.agents.clients.table import CLIENTS
from ringfence.chain.errors import InputError

EVERY = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)


@EVERY
@pytest.mark.parametrize(
    "prompt", ["--dangerously-skip-permissions", "-c x=1", "--", "a b\n$(id)", "--help=x"]
)
def test_a_prompt_is_never_an_option(client: Client, prompt: str) -> None:
    """It is the last argument, whole, behind `--` or joined to its own option."""
    argv = client.argv(prompt)
    joined = argv[-1] == f"--prompt={prompt}"
    assert joined or argv[-2:] == ("--", prompt)
    assert prompt not in argv[:-2]


@EVERY
def test_no_client_is_told_to_drop_its_guards(client: Client) -> None:
    """Skipping permissions is for whoever owns the machine to decide, not for us."""
    words = " ".join((*client.argv("x"), *client.env))
    assert not any(word in words for word in ("skip-perm", "bypass", "yolo", "full-access"))


@EVERY
@pytest.mark.parametrize("prompt", ["", " \n", "x" * LONGEST_ARGUMENT + "y", "a\0b"])
def test_a_prompt_that_cannot_be_an_argument_is_refused(client: Client, prompt: str) -> None:
    """Before the box starts, with a way out."""
    with pytest.raises(InputError) as caught:
        client.argv(prompt)
    assert caught.value.hint


@EVERY
def test_the_credential_goes_by_a_variable(client: Client) -> None:
    """The variable's name is known so that a placeholder can be put there."""
    assert client.key.isupper()
    assert client.key not in client.env
