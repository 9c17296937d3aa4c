"""The sealed form of one secret version: it opens under one key, in one place, or not at all.

Layout of format 1 (fixed widths, big-endian, nothing optional)::

    magic 4 | format 1 | algorithm 1 | kek id 8 | dek id 16 | commitment 32 | nonce 12 | ct || tag

Invariants:
1. The key that encrypts and the commitment both come from the key material by HKDF-SHA256
   (RFC 5869) with different info, so neither tells the other.
2. The commitment is compared, in constant time, before anything is decrypted: AES-GCM alone lets
   one ciphertext open under two keys.
3. The associated data is a length-prefixed tuple; no two contexts share an encoding.
4. One format, one algorithm, no fallback. What is not exactly this is malformed.
5. Outsiders see one code and one text for every failure; the class of it is for the operator's log.

It does not count uses of a key (`ringfence.vault.keyset` does) and cannot notice that a whole
database was put back to an older state.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfence.chain.errors import Unavailable
from ringfence.vault.secret import Secret

MAGIC: Final = b"RFSE"
FORMAT: Final = 1
AES_256_GCM: Final = 1

KEY_BYTES: Final = 32
KEK_ID_BYTES: Final = 8
DEK_ID_BYTES: Final = 16
COMMITMENT_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
HEADER_BYTES: Final = 6 + KEK_ID_BYTES + DEK_ID_BYTES + COMMITMENT_BYTES + NONCE_BYTES

# A secret is a credential, not a file; the bound keeps a hostile database from filling memory.
MAX_PLAINTEXT_BYTES: Final = 64 * 1024

_INFO_ENCRYPT: Final = b"ringfence/envelope/1/encrypt"
_INFO_COMMIT: Final = b"ringfence/envelope/1/commit"
_INFO_ID: Final = b"ringfence/envelope/1/key-id"


class Purpose(StrEnum):
    """What is sealed: a person's value, or the key that seals one."""

    VALUE = "value"
    KEY = "key"


class Failure(StrEnum):
    """Why sealed bytes did not open. For the operator; never shown to whoever asked."""

    MALFORMED = "malformed"
    WRONG_KEY = "wrong-key"
    TAMPERED = "tampered"


class SealBroken(Unavailable):
    """Sealed bytes did not open. ``failure`` says why; code, message and hint never do."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(
            "secret-unreadable",
            "a stored secret does not open",
            hint="restore the vault key and database from the same backup, or set the secret again",
        )
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where sealed bytes belong. All of it is authenticated, none of it is stored with them."""

    purpose: Purpose
    org: str
    secret_id: str
    name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Key material with the two ids the header names. For wrapping, ``dek_id`` is the inner key's.

    Raises ValueError for ids of another width.
    """

    kek_id: bytes
    dek_id: bytes
    material: Secret

    def __post_init__(self) -> None:
        if len(self.kek_id) != KEK_ID_BYTES or len(self.dek_id) != DEK_ID_BYTES:
            raise ValueError("a kek id has 8 bytes and a dek id 16")


def key_id(material: Secret) -> bytes:
    """Give the public 8-byte id of a root key. It is one-way and not unique by design of size."""
    return _derive(material, _INFO_ID, KEK_ID_BYTES)


def seal(plaintext: bytes, key: Key, context: Context) -> bytes:
    """Seal bytes for one context under one key, with a nonce drawn here.

    Random 96-bit nonces allow 2^32 messages a key (NIST SP 800-38D section 8.3); the callers in
    this package use a value key once and a wrapping key at most 2^31 times.

    Raises ValueError for more than 64 KiB or a key that is not 32 bytes.
    """
    # The pure rooms have no randomness of their own; this is the generator behind AESGCM's keys.
    nonce = AESGCM.generate_key(bit_length=128)[:NONCE_BYTES]
    return _seal_with_nonce(plaintext, key, context, nonce)


def open_sealed(blob: bytes, key: Key, context: Context) -> Secret:
    """Open what `seal` made with the same key and context.

    1. Parse strictly. 2. Compare the ids. 3. Compare the commitment. 4. Decrypt and authenticate.

    Raises SealBroken; nothing of the content has been released then.
    """
    if not HEADER_BYTES + TAG_BYTES <= len(blob) <= HEADER_BYTES + MAX_PLAINTEXT_BYTES + TAG_BYTES:
        raise SealBroken(Failure.MALFORMED)
    if blob[:4] != MAGIC or blob[4] != FORMAT or blob[5] != AES_256_GCM:
        raise SealBroken(Failure.MALFORMED)
    ids_end = 6 + KEK_ID_BYTES + DEK_ID_BYTES
    if blob[6:ids_end] != key.kek_id + key.dek_id:
        raise SealBroken(Failure.WRONG_KEY)
    commitment_end = ids_end + COMMITMENT_BYTES
    ours = _derive(key.material, _INFO_COMMIT, COMMITMENT_BYTES)
    if not hmac.compare_digest(blob[ids_end:commitment_end], ours):
        raise SealBroken(Failure.WRONG_KEY)
    nonce = blob[commitment_end:HEADER_BYTES]
    cipher = AESGCM(_derive(key.material, _INFO_ENCRYPT, KEY_BYTES))
    try:
        return Secret(cipher.decrypt(nonce, blob[HEADER_BYTES:], _associated(key, context)))
    except InvalidTag:
        raise SealBroken(Failure.TAMPERED) from None


def _seal_with_nonce(plaintext: bytes, key: Key, context: Context, nonce: bytes) -> bytes:
    if len(plaintext) > MAX_PLAINTEXT_BYTES:
        raise ValueError("a secret has at most 64 KiB")
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    commitment = _derive(key.material, _INFO_COMMIT, COMMITMENT_BYTES)
    cipher = AESGCM(_derive(key.material, _INFO_ENCRYPT, KEY_BYTES))
    sealed = cipher.encrypt(nonce, plaintext, _associated(key, context))
    head = MAGIC + bytes((FORMAT, AES_256_GCM)) + key.kek_id + key.dek_id
    return head + commitment + nonce + sealed


def _derive(material: Secret, info: bytes, length: int) -> bytes:
    root = material.reveal()
    if len(root) != KEY_BYTES:
        raise ValueError("a key has 32 bytes")
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(root)


def _associated(key: Key, context: Context) -> bytes:
    return _tuple_bytes(
        (
            MAGIC + bytes((FORMAT,)),
            bytes((AES_256_GCM,)),
            context.purpose.value.encode(),
            context.org.encode(),
            context.secret_id.encode(),
            context.name.encode(),
            context.version.to_bytes(8, "big"),
            key.kek_id,
            key.dek_id,
        )
    )


def _tuple_bytes(fields: Iterable[bytes]) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)
