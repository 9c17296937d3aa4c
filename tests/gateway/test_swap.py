"""Placeholders: swapped whole, in their slot, toward their host, once."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.gateway.swap import (
    Misplaced,
    check_target,
    foreign_placeholder,
    needles_of,
    swap,
)
from ringfence.policy.hosts import parse_host
from ringfence.vault.placeholder import mint

Make = Callable[..., Any]
FORGE = parse_host("forge.test")


def swapped(value: str, leases: tuple[Any, ...], header: str = "authorization") -> str:
    """Swap in one header toward the forge."""
    result = swap(((header, value),), FORGE, leases, needles_of(leases))
    return result.headers[0][1]


def test_another_slot_than_authorization(lease: Make, placeholder: str, value: bytes) -> None:
    """As the lease says."""
    leases = (lease(slot="header:x-api-key"),)
    assert swapped(placeholder, leases, "x-api-key") == value.decode()
    with pytest.raises(Misplaced):
        swapped(placeholder, leases)


def test_headers_without_a_placeholder_are_unchanged(lease: Make) -> None:
    """Also the slot, and Basic credentials of the agent's own."""
    leases = (lease(),)
    for value in ("Bearer other", "Basic !!", "Basic eDp5", "x y z", ""):
        assert swapped(value, leases) == value
    assert swap((("a", "b"),), FORGE, (), needles_of(())).used == ()


@pytest.mark.parametrize("pair", ["x{p}:y", "{p}", "u:{p}y", "{p}:{p}", "u:x:{p}", "u:{p}:x"])
def test_basic_credentials_hold_it_whole(lease: Make, placeholder: str, pair: str) -> None:
    """As user or password, once."""
    raw = base64.b64encode(pair.format(p=placeholder).encode()).decode()
    with pytest.raises(Misplaced):
        swapped(f"Basic {raw}", (lease(),))


def test_two_secrets_at_one_host(lease: Make, placeholder: str) -> None:
    """Each in its own slot, and only there."""
    other = "rfph_ffffffffffffffffffffffff"
    leases = (lease(), lease(name="KEY", slot="header:x-api-key", placeholder=other))
    headers = (("authorization", f"Bearer {placeholder}"), ("x-api-key", other))
    result = swap(headers, FORGE, leases, needles_of(leases))
    assert [used.name for used in result.used] == ["GH_TOKEN", "KEY"]
    with pytest.raises(Misplaced) as caught:
        swapped(f"Bearer {other}", leases)
    assert caught.value.secret == "KEY"


def test_a_literal_host_has_its_leases(lease: Make, placeholder: str, value: bytes) -> None:
    """Written in brackets."""
    leases = (lease(host="[::1]"),)
    result = swap(
        (("authorization", placeholder),), parse_host("[::1]"), leases, needles_of(leases)
    )
    assert result.headers[0][1] == value.decode()


def test_targets_are_searched_raw_and_decoded(lease: Make, placeholder: str) -> None:
    """Mixed percent-encoding does not hide a placeholder; malformed is left to policy."""
    needles = needles_of((lease(),))
    hidden = "".join(f"%{ord(c):02x}" if i % 2 else c for i, c in enumerate(placeholder))
    for target in (f"/{placeholder}", f"/?q={hidden}"):
        with pytest.raises(Misplaced):
            check_target(target, needles)
    check_target("/%zz", needles)
    check_target("/plain?a=%20", needles)
    check_target(f"/{placeholder}", needles_of(()))


def test_placeholders_of_others_are_recognised() -> None:
    """By their checksum, without a list; ordinary text is not one."""
    assert not foreign_placeholder(b"anything")
    other = mint(b"ghp_" + b"a1B2" * 9, random=bytes(range(32)))
    assert foreign_placeholder(f"token={other}".encode())
