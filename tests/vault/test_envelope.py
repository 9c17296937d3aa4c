"""The sealed form: opens in one place under one key, and says nothing otherwise."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ringfence.vault import envelope
from ringfence.vault.envelope import (
    Context,
    Failure,
    Key,
    Purpose,
    SealBroken,
    key_id,
    open_sealed,
    seal,
)
from ringfence.vault.secret import Secret

VECTORS = Path(__file__).parent / "vectors" / "envelope.json"
CASES: list[dict[str, Any]] = json.loads(VECTORS.read_text())["vectors"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
contexts = st.builds(
    Context,
    purpose=st.sampled_from(Purpose),
    org=texts,
    secret_id=texts,
    name=texts,
    version=st.integers(0, 2**64 - 1),
)


def key(fill: int) -> Key:
    """Give a key; all of them carry the same ids."""
    return Key(kek_id=b"k" * 8, dek_id=b"d" * 16, material=Secret(bytes([fill]) * 32))


@pytest.mark.parametrize("case", CASES, ids=[case["comment"] for case in CASES])
def test_vector(case: dict[str, Any]) -> None:
    """Each blob of the independent construction opens, or fails in its class."""
    blob = bytes.fromhex(case["blob"])
    told = case["context"]
    where = Context(**{**told, "purpose": Purpose(told["purpose"])})
    with_key = Key(
        kek_id=bytes.fromhex(case["kek_id"]),
        dek_id=bytes.fromhex(case["dek_id"]),
        material=Secret(bytes.fromhex(case["material"])),
    )
    if case["result"] == "valid":
        plaintext = bytes.fromhex(case["plaintext"])
        assert open_sealed(blob, with_key, where).reveal() == plaintext
        assert envelope._seal_with_nonce(plaintext, with_key, where, blob[62:74]) == blob
        return
    with pytest.raises(SealBroken) as caught:
        open_sealed(blob, with_key, where)
    assert caught.value.failure == Failure(case["result"])


def test_the_vectors_are_those_the_generator_makes(independent: dict[str, Any]) -> None:
    """The file is what the generator writes; its own checks against published values hold."""
    assert independent["document"]() == VECTORS.read_text()


def test_every_class_of_result_has_vectors() -> None:
    """A class without a vector would be a class nobody tests."""
    assert {case["result"] for case in CASES} == {"valid", *Failure}


@given(st.binary(max_size=200), contexts)
def test_what_is_sealed_opens(plaintext: bytes, where: Context) -> None:
    """Seal, then open under the same key and context, gives the value back."""
    assert open_sealed(seal(plaintext, key(1), where), key(1), where).reveal() == plaintext


@given(contexts, contexts)
def test_two_contexts_never_share_an_encoding(one: Context, two: Context) -> None:
    """The associated data is equal exactly when the contexts are."""
    same = envelope._associated(key(1), one) == envelope._associated(key(1), two)
    assert same == (one == two)


@given(contexts, contexts)
def test_a_blob_opens_in_its_context_only(one: Context, two: Context) -> None:
    """Any other tuple is refused as tampering."""
    blob = seal(b"value", key(1), one)
    if one == two:
        return
    with pytest.raises(SealBroken) as caught:
        open_sealed(blob, key(1), two)
    assert caught.value.failure == Failure.TAMPERED


@given(st.binary(max_size=300))
def test_any_bytes_fail_as_sealbroken(blob: bytes) -> None:
    """Whatever the database holds, opening it raises nothing but SealBroken."""
    where = Context(purpose=Purpose.VALUE, org="o", secret_id="s", name="n", version=1)
    head = b"RFSE\x01\x01" + b"k" * 8 + b"d" * 16
    for attempt in (blob, head + blob, seal(b"", key(1), where)[:74] + blob):
        with pytest.raises(SealBroken):
            open_sealed(attempt, key(1), where)


@given(st.integers(0, (74 + 5 + 16) * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    """There is no byte in the blob that does not count."""
    where = Context(purpose=Purpose.VALUE, org="o", secret_id="s", name="n", version=1)
    blob = bytearray(seal(b"value", key(1), where))
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        open_sealed(bytes(blob), key(1), where)


def test_one_ciphertext_does_not_open_under_two_keys(
    independent: dict[str, Any], make_key: Callable[[int], Key], context: Context
) -> None:
    """Plain AES-GCM accepts the forged ciphertext under both keys; the commitment stops one."""
    keys = (make_key(1), make_key(2))
    nonce = bytes(12)
    aad = envelope._associated(keys[0], context)
    inner = [envelope._derive(k.material, envelope._INFO_ENCRYPT, 32) for k in keys]
    forged = independent["two_key_ciphertext"](inner[0], inner[1], nonce, aad)

    without_guard = [AESGCM(k).decrypt(nonce, forged, aad) for k in inner]
    assert without_guard[0] != without_guard[1]

    opened, failures = 0, []
    for committed in keys:
        head = seal(b"", committed, context)[:62]
        for tried in keys:
            try:
                open_sealed(head + nonce + forged, tried, context)
                opened += 1
            except SealBroken as error:
                failures.append(error.failure)
    assert opened == 2
    assert failures == [Failure.WRONG_KEY, Failure.WRONG_KEY]


def test_a_name_that_swallows_its_neighbour_is_another_place(context: Context) -> None:
    """Joining fields with ':' would accept this; length prefixes do not."""
    one = replace(context, secret_id="a:b", name="c")
    two = replace(context, secret_id="a", name="b:c")
    assert f"{one.secret_id}:{one.name}" == f"{two.secret_id}:{two.name}"
    with pytest.raises(SealBroken):
        open_sealed(seal(b"v", key(1), one), key(1), two)


def test_an_older_version_is_not_the_current_one(context: Context) -> None:
    """A binding without the version would accept the old ciphertext; ours refuses it."""
    old = seal(b"old value", key(1), replace(context, version=2))
    inner = AESGCM(envelope._derive(key(1).material, envelope._INFO_ENCRYPT, 32))
    unversioned = inner.encrypt(bytes(12), b"old value", context.name.encode())
    assert inner.decrypt(bytes(12), unversioned, context.name.encode()) == b"old value"
    with pytest.raises(SealBroken):
        open_sealed(old, key(1), context)


def test_each_seal_draws_its_own_nonce(context: Context) -> None:
    """Sealing the same value twice gives other bytes."""
    blobs = {seal(b"v", key(1), context) for _ in range(50)}
    assert len({blob[62:74] for blob in blobs}) == 50


def test_an_outsider_cannot_tell_failures_apart(context: Context) -> None:
    """Code, message, hint and JSON are one and the same for every class."""
    said = {json.dumps(SealBroken(failure).to_json()) for failure in Failure}
    said |= {str(SealBroken(failure)) + SealBroken(failure).hint for failure in Failure}
    assert len(said) == 2
    blob = seal(b"v", key(1), context)
    with pytest.raises(SealBroken) as caught:
        open_sealed(blob[:-1] + b"\0", key(1), context)
    assert not isinstance(caught.value.__cause__, InvalidTag)


def test_size_limits_hold_on_both_sides(context: Context) -> None:
    """64 KiB pass, one byte more does not, and an oversized blob is not even decrypted."""
    largest = seal(bytes(65536), key(1), context)
    assert len(open_sealed(largest, key(1), context).reveal()) == 65536
    with pytest.raises(ValueError, match="64 KiB"):
        seal(bytes(65537), key(1), context)
    with pytest.raises(SealBroken) as caught:
        open_sealed(largest + b"\0", key(1), context)
    assert caught.value.failure == Failure.MALFORMED


def test_odd_keys_and_nonces_are_refused(context: Context) -> None:
    """A key, id or nonce of another width never reaches the cipher."""
    with pytest.raises(ValueError, match="32 bytes"):
        seal(b"v", replace(key(1), material=Secret(bytes(16))), context)
    with pytest.raises(ValueError, match="kek id"):
        replace(key(1), kek_id=b"short")
    with pytest.raises(ValueError, match="nonce"):
        envelope._seal_with_nonce(b"v", key(1), context, bytes(16))


def test_key_ids_differ_and_do_not_tell_the_key() -> None:
    """The id is stable, differs by key, and is no prefix of it."""
    assert key_id(Secret(bytes(32))) == key_id(Secret(bytes(32)))
    assert key_id(Secret(bytes(32))) != key_id(Secret(b"\1" * 32))
    assert key_id(Secret(b"\1" * 32)) != b"\1" * 8


def test_a_key_does_not_print_its_material() -> None:
    """A key in a traceback or a log shows ids only."""
    assert "Secret(***)" in repr(key(65))
    assert "AAAA" not in repr(key(65))
