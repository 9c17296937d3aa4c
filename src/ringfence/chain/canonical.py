"""Canonical JSON: the one byte form that is hashed, signed and compared.

Keys sorted by code point, no white space, UTF-8, no floats that JSON cannot say. The bytes are
produced once and stored; nobody re-serialises to verify.
"""

import hashlib
import json

from ringfence.chain.words import Json

# Built once: `json.dumps` would build one for every record.
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Json) -> bytes:
    """Give the canonical bytes of a JSON value.

    Raises ValueError for NaN or infinity and TypeError for anything JSON cannot say.
    """
    return _ENCODER.encode(value).encode("utf-8")


def digest(value: Json) -> str:
    """Give the SHA-256 of the canonical bytes as 64 lower-case hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
