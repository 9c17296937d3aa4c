from pathlib import Path

import pytest

from ringfence.checks.catalogue import rule_pages
from ringfence.checks.output import credentials

RULES = Path(__file__).parent.parent.parent / "docs" / "rules"


@pytest.mark.parametrize("rule", sorted(rule_pages()))
def test_the_page_of_a_rule_is_what_the_code_says(rule: str) -> None:
    """Made by `python -c` as docs/rooms/checks.md shows; edited pages fail here."""
    assert (RULES / f"{rule}.md").read_text(encoding="utf-8") == rule_pages()[rule]


@pytest.mark.parametrize("rule", sorted(rule_pages()))
def test_no_page_shows_a_credential(rule: str) -> None:
    """Our own detector finds nothing in what we publish."""
    assert credentials.scan(rule_pages()[rule].encode()) == ()


def test_every_credential_kind_has_a_page() -> None:
    """A finding's id always leads somewhere."""
    assert {kind.id for kind in credentials.RULES} <= set(rule_pages())
