# ruff: noqa: E501 - a table
"""Settings cross the socket whole or not at all."""

from dataclasses import replace
from typing import Any

import pytest

from ringfence.gateway.settings import BrokerLimits, BrokerSettings

GOOD = BrokerSettings(resolver={"a.test": ("127.0.0.1",)}, extra_roots_pem="x").to_json()


def test_settings_survive_the_trip() -> None:
    """Every field of them."""
    assert BrokerSettings.from_json(GOOD).to_json() == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"resolver": []}, {"resolver": {"a": []}}, {"resolver": {"a": "1"}}, {"resolver": {"a": [1]}},
        {"extra_roots_pem": None}, {"uid": 0}, {"uid": "1"}, {"uid": True}, {"limits": []},
        {"limits": {}}, {"unknown": 1},
        {"limits": {**GOOD["limits"], "connections": 1.5}},  # type: ignore[dict-item]
        {"limits": {**GOOD["limits"], "connections": 0}},  # type: ignore[dict-item]
        {"limits": {**GOOD["limits"], "more": 1}},  # type: ignore[dict-item]
    ],
)  # fmt: skip
def test_half_read_settings_are_refused(change: dict[str, Any]) -> None:
    """Unknown, missing, mistyped or zero."""
    with pytest.raises(ValueError, match=r"\S"):
        BrokerSettings.from_json({**GOOD, **change})


def test_a_missing_field_is_refused() -> None:
    """Defaults are for people, not for the wire."""
    with pytest.raises(ValueError, match="missing"):
        BrokerSettings.from_json({k: v for k, v in GOOD.items() if k != "uid"})


def test_limits_are_positive() -> None:
    """Zero would be no limit in some places."""
    with pytest.raises(ValueError, match="positive"):
        replace(BrokerLimits(), head_bytes=0)
