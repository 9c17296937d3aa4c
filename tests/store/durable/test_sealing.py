"""Sealed JSON: what comes back is what went in, and nothing else comes back."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.errors import InputError, Refused
from ringfence.engine.durable import MAX_PAYLOAD
from ringfence.store.durable.sealing import Sealer, bind, message, pack, unbind, unpack

SEALER = Sealer(bytes(32))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(JSON)
def test_json_comes_back(value: Any) -> None:
    """Sealing and opening are each other's inverse, and no two sealings are alike."""
    sealed = SEALER.seal(value)
    assert SEALER.open(sealed) == value
    assert SEALER.seal(value) != sealed


@given(JSON, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused(value: Any, place: int, change: int) -> None:
    """Every byte is authenticated, the nonce too."""
    data = bytearray(base64.b64decode(SEALER.seal(value)))
    data[place % len(data)] ^= change
    with pytest.raises(Refused):
        SEALER.open(base64.b64encode(bytes(data)).decode())


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda b: base64.b64encode(b).decode()))
def test_arbitrary_text_is_refused(text: str) -> None:
    """Nothing that was not sealed here opens, and nothing crashes."""
    with pytest.raises(Refused):
        SEALER.open(text)


def test_another_key_opens_nothing() -> None:
    """The journal of another installation is foreign."""
    with pytest.raises(Refused) as error:
        Sealer(b"\1" * 32).open(SEALER.seal("x"))
    assert error.value.code == "journal-foreign"


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_has_one_size(size: int) -> None:
    """AES-256 it is."""
    with pytest.raises(InputError):
        Sealer(bytes(size))


def test_a_value_in_another_place_is_refused() -> None:
    """A sealed value that was copied to another row opens, but does not pass its binding."""
    copied = SEALER.open(SEALER.seal(bind("step w 1 pay", {"paid": True})))
    assert unbind("step w 1 pay", copied) == {"paid": True}
    with pytest.raises(Refused):
        unbind("step w 2 pay", copied)


@pytest.mark.parametrize("bound", [None, 1, [], {}, {"at": "p"}, {"at": "p", "value": 1, "x": 1}])
def test_what_was_not_bound_is_refused(bound: Any) -> None:
    """The shape is exact."""
    with pytest.raises(Refused):
        unbind("p", bound)


@pytest.mark.parametrize("value", [{1}, b"x", float("inf"), float("nan"), object()])
def test_only_json_is_packed(value: Any) -> None:
    """Nothing is converted."""
    with pytest.raises(InputError):
        pack(value)


def test_a_value_that_is_too_deep_is_refused() -> None:
    """Recursion is an error of the caller, not a crash."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InputError):
        pack(value)


def test_size_is_bounded() -> None:
    """The cap is in bytes, not characters."""
    pack("x" * (MAX_PAYLOAD - 2))
    with pytest.raises(InputError) as error:
        pack("\u20ac" * (MAX_PAYLOAD // 2))
    assert error.value.code == "payload-too-large"


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "{", "", "[" * 100_000])
def test_only_strict_json_is_unpacked(text: str) -> None:
    """The constants that JSON does not have, and nesting without end, are refused."""
    with pytest.raises(Refused):
        unpack(text)


def test_null_is_no_message() -> None:
    """Everything else is one."""
    assert message(0) == 0
    with pytest.raises(InputError):
        message(None)
