"""Rules, grants and effects for the policy tests."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ringfence.chain.errors import Position
from ringfence.chain.words import Merge, NetworkRule, SecretUse
from ringfence.policy.effect import NetEffect
from ringfence.policy.grant import Grant

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WHERE = Position(file="chain.yaml", line=7, column=3)


@pytest.fixture(scope="session")
def rule() -> Callable[..., NetworkRule]:
    """Build a rule; host forge.test unless told."""

    def build(host: str = "forge.test", **more: object) -> NetworkRule:
        return NetworkRule(host=host, where=WHERE, **more)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def net() -> Callable[..., NetEffect]:
    """Build a request; GET https://forge.test/ unless told."""

    def build(**more: object) -> NetEffect:
        fields: dict[str, object] = {
            "host": "forge.test", "port": 443, "scheme": "https", "method": "GET", "path": "/",
            **more,
        }  # fmt: skip
        return NetEffect(**fields)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def grant() -> Callable[..., Grant]:
    """Build a grant that ends a minute after NOW."""

    def build(
        network: tuple[NetworkRule, ...] = (), secrets: tuple[SecretUse, ...] = (), **more: object
    ) -> Grant:
        fields: dict[str, object] = {
            "run": "r1", "agent": "writer", "until": NOW.replace(minute=1), "emits": (),
            "env": {}, "workspace": None, "merge": Merge.HOLD, "isolation": "L3", **more,
        }  # fmt: skip
        return Grant(network=network, secrets=secrets, **fields)  # type: ignore[arg-type]

    return build
