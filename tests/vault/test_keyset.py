"""The key tree: fresh keys, their wrapping, and the limit on wrapping."""

from dataclasses import dataclass, replace

import pytest

from ringfence.chain.errors import Refused
from ringfence.vault.envelope import Context, Failure, SealBroken, key_id, open_sealed, seal
from ringfence.vault.keyset import MAX_WRAPS, fresh_key, unwrap
from ringfence.vault.secret import Secret


@dataclass
class Root:
    """A root key in memory."""

    fill: int

    @property
    def key_id(self) -> bytes:
        """Its id."""
        return key_id(self.root_key())

    def root_key(self) -> Secret:
        """Its bytes."""
        return Secret(bytes([self.fill]) * 32)


def test_an_unwrapped_key_opens_what_the_fresh_one_sealed(context: Context) -> None:
    """Fresh key, seal, store, unwrap, open: the value comes back."""
    fresh = fresh_key(Root(1), context, wraps=0)
    blob = seal(b"value", fresh.key, context)
    again = unwrap(Root(1), fresh.wrapped, fresh.key.dek_id, context)
    assert open_sealed(blob, again, context).reveal() == b"value"


def test_every_version_has_its_own_key(context: Context) -> None:
    """Two calls never give the same key or the same id."""
    one, two = (fresh_key(Root(1), context, wraps=n) for n in (0, 1))
    assert one.key.dek_id != two.key.dek_id
    assert one.key.material.reveal() != two.key.material.reveal()


def test_the_counter_counts_and_refuses_at_its_limit(context: Context) -> None:
    """The last allowed wrap works, the next is refused with the way out."""
    assert MAX_WRAPS == 2**31
    assert fresh_key(Root(1), context, wraps=MAX_WRAPS - 1).wraps == MAX_WRAPS
    with pytest.raises(Refused) as caught:
        fresh_key(Root(1), context, wraps=MAX_WRAPS)
    assert caught.value.code == "root-key-worn-out"
    assert "new vault key" in caught.value.hint


def test_a_counter_below_zero_is_refused(context: Context) -> None:
    """A tampered counter does not buy more wraps."""
    with pytest.raises(Refused):
        fresh_key(Root(1), context, wraps=-1)


def test_another_root_key_does_not_unwrap(context: Context) -> None:
    """A wrapped key opens under its root key only."""
    fresh = fresh_key(Root(1), context, wraps=0)
    with pytest.raises(SealBroken) as caught:
        unwrap(Root(2), fresh.wrapped, fresh.key.dek_id, context)
    assert caught.value.failure == Failure.WRONG_KEY


@pytest.mark.parametrize(
    "change", [{"version": 4}, {"name": "other"}, {"secret_id": "x"}, {"org": "x"}]
)
def test_a_wrapped_key_is_bound_to_its_place(context: Context, change: dict[str, object]) -> None:
    """A wrapped key moved to another secret, version or org does not unwrap."""
    fresh = fresh_key(Root(1), context, wraps=0)
    with pytest.raises(SealBroken) as caught:
        unwrap(Root(1), fresh.wrapped, fresh.key.dek_id, replace(context, **change))  # type: ignore[arg-type]
    assert caught.value.failure == Failure.TAMPERED


def test_a_sealed_value_does_not_pass_as_a_wrapped_key(context: Context) -> None:
    """Purpose is bound: 32 bytes sealed as a value never become a key."""
    fresh = fresh_key(Root(1), context, wraps=0)
    root = replace(fresh.key, material=Root(1).root_key())
    as_value = seal(bytes(32), root, context)
    assert open_sealed(as_value, root, context).reveal() == bytes(32)
    with pytest.raises(SealBroken):
        unwrap(Root(1), as_value, fresh.key.dek_id, context)
