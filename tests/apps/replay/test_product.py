import pytest

from ringfence.apps.replay.product import Done, Product
from ringfence.apps.replay.world import World
from ringfence.chain.errors import Unavailable


def done(out: str) -> Done:
    """Give a finished command that printed this."""
    return Done(code=0, out=out, err="oops", left=())


@pytest.mark.parametrize("out", ["", "not json", "7", "[]"])
def test_an_answer_unlike_the_promise_is_an_error(world: World, out: str) -> None:
    """Output that cannot be read never counts as nothing found."""
    with pytest.raises(Unavailable):
        Product(world).outcome(done(out))


def test_the_outcome_is_the_printed_object(world: World) -> None:
    """What the command promised is taken as it is."""
    assert Product(world).outcome(done('{"run": "r1"}')) == {"run": "r1"}


def test_the_command_runs_as_a_subprocess_and_is_remembered(world: World) -> None:
    """Exit code and output are the command line's own; what it said is kept for the oracle."""
    product = Product(world)
    finished = product.call("no-such-command")
    assert finished.code != 0
    assert finished.err in product.said
    assert finished.left == ()


def test_a_wrapper_goes_in_front(world: World) -> None:
    """A scenario can take something away from the host for one command."""
    product = Product(world, wrapper=("sh", "-c", "exit 42"))
    assert product.call("run").code == 42


def test_a_secret_that_is_not_kept_is_an_error(world: World) -> None:
    """A run without its secret would hold every attack and prove nothing."""
    with pytest.raises(Unavailable):
        Product(world, wrapper=("false",)).put("GH", "value")
