"""Leases that could do harm are not made."""

from collections.abc import Callable
from typing import Any

import pytest

from ringfence.vault.secret import Secret


@pytest.mark.parametrize(
    "more",
    [
        {"host": "Forge.test"}, {"host": "*.forge.test"}, {"host": "a b"}, {"host": ""},
        {"slot": "header:"}, {"slot": "header:X-Key"}, {"slot": "query:key"}, {"slot": "x"},
        {"placeholder": "short"}, {"placeholder": "placeholder-\u00e4"},
        {"value": Secret(b"")}, {"value": Secret(b"a\r\nX-Evil: 1")}, {"value": Secret(b"a\n")},
    ],
)  # fmt: skip
def test_a_malformed_lease_is_refused(lease: Callable[..., Any], more: dict[str, Any]) -> None:
    """Host, slot, placeholder and value each have one form."""
    with pytest.raises(ValueError, match=r"\S"):
        lease(**more)


def test_a_lease_shows_no_value(lease: Callable[..., Any], value: bytes) -> None:
    """Not even when printed."""
    made = lease()
    assert value.decode() not in repr(made)
    assert made.header == "authorization"
