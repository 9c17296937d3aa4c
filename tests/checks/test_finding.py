import pytest

from ringfence.chain.errors import Position
from ringfence.checks.finding import Finding, Severity


def test_severities_are_ordered() -> None:
    """Low is below medium is below high is below critical."""
    assert [s.rank for s in Severity] == [0, 1, 2, 3]
    assert Severity.CRITICAL.at_least(Severity.HIGH)
    assert not Severity.MEDIUM.at_least(Severity.HIGH)


def test_a_finding_names_its_place_in_a_file() -> None:
    """Reports show file, line and column."""
    where = Position(file="a.yaml", line=3, column=7)
    finding = Finding(check="jwt", severity=Severity.HIGH, message="a token", where=where)
    assert finding.to_json() == {
        "check": "jwt",
        "severity": "high",
        "message": "a token",
        "where": "a.yaml:3:7",
    }


def test_a_finding_without_a_place_says_nothing_about_it() -> None:
    """An absent place is left out, offset zero is not absent."""
    assert "where" not in Finding(check="x", severity=Severity.LOW, message="m").to_json()
    assert Finding(check="x", severity=Severity.LOW, message="m", where=0).to_json()["where"] == 0


@pytest.mark.parametrize("name", ["", "Upper", "two--dashes", "-x", "x-", "under_score", "a\n"])
def test_check_ids_are_kebab_case(name: str) -> None:
    """An id that could not name a docs page is a mistake of ours, found at once."""
    with pytest.raises(ValueError, match="kebab-case"):
        Finding(check=name, severity=Severity.LOW, message="m")
