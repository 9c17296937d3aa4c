"""A secret value in memory: something that can be used and nothing else.

Invariants:
1. It has no useful repr, str, format, equality, hash, iteration, pickle or JSON form.
2. Only `reveal` gives the bytes, and only call sites listed in the tests may call it.

It does not promise that memory is wiped: Python copies; see docs/rooms/vault.md.
"""

from typing import NoReturn


class Secret:
    """Hold the bytes of one secret value."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytearray(value)

    def reveal(self) -> bytes:
        """Give the real bytes. Every caller is named in ``tests/vault/test_secret.py``."""
        return bytes(self._value)

    def wipe(self) -> None:
        """Overwrite our own copy; later `reveal` gives zero bytes."""
        for i in range(len(self._value)):
            self._value[i] = 0

    def __repr__(self) -> str:
        return "Secret(***)"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secrets are not compared; use hmac.compare_digest on revealed bytes")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise TypeError("a secret has no truth value")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")
