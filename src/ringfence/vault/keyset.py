"""The key tree: one root key wraps a fresh key for every version of every secret.

Invariants:
1. A value key seals one message and is never reused.
2. A root key wraps at most `MAX_WRAPS` keys; past that it refuses (half of the 2^32 that
   NIST SP 800-38D section 8.3 allows for random nonces).
3. A wrapped key opens only for the context it was made for.

Where the root key comes from is a `KeyProvider`'s business, and keeping the counter durable, in the
same transaction as the wrapped key, is the caller's.
"""

from dataclasses import dataclass, replace
from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfence.chain.errors import Refused
from ringfence.vault.envelope import Context, Key, Purpose, open_sealed, seal
from ringfence.vault.secret import Secret

MAX_WRAPS: Final = 2**31


class KeyProvider(Protocol):
    """Whoever holds a root key: a key file, a passphrase, later a KMS."""

    @property
    def key_id(self) -> bytes:
        """The 8-byte public id of the root key, as `ringfence.vault.envelope.key_id` gives it."""

    def root_key(self) -> Secret:
        """Give the 32-byte root key. Raises Unavailable when it cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshKey:
    """A new value key, its wrapped form to store, and the root key's counter to store with it."""

    key: Key
    wrapped: bytes
    wraps: int


def fresh_key(provider: KeyProvider, context: Context, *, wraps: int) -> FreshKey:
    """Draw a value key for one context and wrap it. ``wraps`` is how often the root key was used.

    Raises Refused (``root-key-worn-out``) at the limit and Unavailable without a root key.
    """
    if not 0 <= wraps < MAX_WRAPS:
        raise Refused(
            "root-key-worn-out",
            f"the vault key has wrapped {wraps} keys and may wrap {MAX_WRAPS}",
            hint="create a new vault key and set the secrets again under it",
        )
    dek_id = AESGCM.generate_key(bit_length=128)
    material = AESGCM.generate_key(bit_length=256)
    wrapping = Key(kek_id=provider.key_id, dek_id=dek_id, material=provider.root_key())
    return FreshKey(
        key=replace(wrapping, material=Secret(material)),
        wrapped=seal(material, wrapping, replace(context, purpose=Purpose.KEY)),
        wraps=wraps + 1,
    )


def unwrap(provider: KeyProvider, wrapped: bytes, dek_id: bytes, context: Context) -> Key:
    """Give the value key that `fresh_key` wrapped for the same context.

    Raises SealBroken when it does not open and Unavailable without a root key.
    """
    wrapping = Key(kek_id=provider.key_id, dek_id=dek_id, material=provider.root_key())
    material = open_sealed(wrapped, wrapping, replace(context, purpose=Purpose.KEY))
    return replace(wrapping, material=material)
