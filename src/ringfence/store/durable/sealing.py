"""What the journal holds: JSON, sealed with an install key.

Invariants:
1. A value that was not sealed with this install's key is refused: the journal's file may have been
   written by anybody who could write there. Nothing is ever unpickled.
2. Only JSON passes, both ways, and at most `MAX_PAYLOAD` bytes of it.
3. `bind` names the place a value was written for; a value moved to another place is refused.

It does not hide how many steps a workflow has, their names, nor when they ran.
"""

import base64
import binascii
import json
import os
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfence.chain.canonical import canonical_json
from ringfence.chain.errors import InputError, Refused
from ringfence.engine.durable import MAX_PAYLOAD

if TYPE_CHECKING:
    from ringfence.chain.words import Json

KEY_BYTES = 32
_NONCE_BYTES = 12  # 96 bits, drawn at random: NIST SP 800-38D section 8.2.2, 2^32 values per key
_CONTEXT = b"ringfence/engine/journal/1"
_OVERHEAD = 4_096  # what our own envelope and the vendor's argument list add to a payload


def pack(value: "Json", limit: int = MAX_PAYLOAD) -> str:
    """Give the canonical JSON text. Raises InputError for what is no JSON or is too large."""
    try:
        data = canonical_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("payload-invalid", "only JSON crosses the durable engine") from error
    if len(data) > limit:
        raise InputError(
            "payload-too-large",
            f"{len(data)} bytes for the journal, {limit} are the most",
            hint="pass a name or a digest and keep the bytes in the run's directory",
        )
    return data.decode()


def message(value: "Json") -> "Json":
    """Give the value back. Raises InputError for null, which means that no message came."""
    if value is None:
        raise InputError("message-empty", "null is no message")
    return value


def unpack(text: str | bytes) -> "Json":
    """Read JSON strictly (no NaN, no infinity). Raises Refused for anything else."""
    try:
        value: Json = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _foreign("is not JSON") from error
    return value


class Sealer:
    """Seals values with AES-256-GCM under one key, and opens what it sealed."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise InputError("engine-key-invalid", f"the install key has {KEY_BYTES} bytes")
        self._aead = AESGCM(key)

    def seal(self, value: "Json") -> str:
        """Give the sealed text of a JSON value. Raises InputError as `pack` does."""
        data = pack(value, MAX_PAYLOAD + _OVERHEAD).encode()
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + self._aead.encrypt(nonce, data, _CONTEXT)).decode()

    def open(self, text: str) -> "Json":
        """Open a sealed text. Raises Refused for whatever was not sealed under this key."""
        try:
            data = base64.b64decode(text, validate=True)
            return unpack(self._aead.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _CONTEXT))
        except (binascii.Error, InvalidTag, ValueError) as error:
            raise _foreign("was not sealed by this installation") from error


def bind(place: str, value: "Json") -> "Json":
    """Wrap a value with the place it belongs to, before it is sealed."""
    pack(value)
    return {"at": place, "value": value}


def unbind(place: str, bound: "Json") -> "Json":
    """Give the value back. Raises Refused when it was written for another place."""
    match bound:
        case {"at": str(at), "value": value, **rest} if at == place and not rest:
            return value
    raise _foreign("belongs to another place")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _foreign(what: str) -> Refused:
    return Refused(
        "journal-foreign",
        f"a value in the engine's journal {what}",
        hint="another program wrote to engine.sqlite; restore it from a backup or remove it",
    )
