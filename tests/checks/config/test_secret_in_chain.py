import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import Position
from ringfence.checks.config.secret_in_chain import BAD, GOOD, ChainSample, check
from ringfence.checks.finding import Severity

PLACE = Position(file="chain.yaml", line=4, column=9)


def note(sample: ChainSample) -> str:
    """Name a case after its note."""
    return sample.note


@pytest.mark.parametrize("sample", BAD, ids=note)
def test_a_secret_in_a_chain_is_reported_with_place_and_way_out(sample: ChainSample) -> None:
    """The author learns where it stands and what to do; the value is not repeated."""
    (finding,) = check([(sample.path, sample.value, PLACE)])
    assert finding.check == "secret-in-chain"
    assert finding.where == PLACE
    assert finding.severity.at_least(Severity.HIGH)
    assert "ringfence secrets set NAME" in finding.message
    assert "`secrets:`" in finding.message
    assert not any(word in repr(finding) for word in sample.value.split() if len(word) > 12)


@pytest.mark.parametrize("sample", GOOD, ids=note)
def test_what_chains_are_full_of_is_not_reported(sample: ChainSample) -> None:
    """Digests, ids, models, addresses, references and placeholders pass."""
    assert check([(sample.path, sample.value, PLACE)]) == ()


def test_the_path_is_spelt_as_people_write_it() -> None:
    """Indexes in brackets, keys with dots, unprintable keys not at all."""
    path = ("agents", 2, "env", "API_TOKEN")
    (finding,) = check([(path, BAD[0].value, PLACE)])
    assert "agents[2].env.API_TOKEN" in finding.message
    (finding,) = check([(("a\x1b[31m", "token"), BAD[0].value, PLACE)])
    assert "?.token" in finding.message


@given(
    st.lists(st.one_of(st.text(max_size=12), st.integers(0, 9)), max_size=4).map(tuple),
    st.text(max_size=60),
)
def test_any_scalar_can_be_looked_at(path: tuple[str | int, ...], value: str) -> None:
    """No key or value of a chain file makes the check raise."""
    check([(path, value, PLACE)])
