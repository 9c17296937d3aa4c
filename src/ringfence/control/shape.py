"""The fields of an audit record's detail, taken out with their shape checked.

Invariants:
1. A field is absent, or has the type asked for, or `OddShape` is raised; nothing is converted.
2. Numbers are bounded to 64 bits, lists to `MOST`, so later arithmetic and printing cannot fail.

The store is untrusted input (R1): what a record holds is what somebody wrote there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.chain.words import Json

MOST = 10_000
"""Members of one list inside one record; more is not a record this product writes."""


class OddShape(ValueError):  # noqa: N818 - a state of the data; it never reaches a person as an error
    """A record does not have the fields its event asks for."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object whose members are asked for by name and type."""

    body: Mapping[str, Json]

    def text(self, name: str) -> str | None:
        """Give a text, None when absent or null. Raises OddShape for any other type."""
        value = self.body.get(name)
        if value is None or isinstance(value, str):
            return value
        raise OddShape(f"{name} is not a text")

    def need(self, name: str) -> str:
        """Give a text that has to be there. Raises OddShape otherwise."""
        value = self.text(name)
        if value is None:
            raise OddShape(f"{name} is missing")
        return value

    def number(self, name: str) -> int | None:
        """Give a whole number of at most 64 bits. Raises OddShape for any other value."""
        value = self.body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise OddShape(f"{name} is not a number")
        if not -(2**63) <= value < 2**63:  # also false for NaN
            raise OddShape(f"{name} is out of range")
        return int(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Give a list of texts, empty when absent. Raises OddShape otherwise."""
        found: list[str] = []
        for value in self._list(name):
            if not isinstance(value, str):
                raise OddShape(f"{name} holds something that is not a text")
            found.append(value)
        return tuple(found)

    def object(self, name: str) -> "Fields | None":
        """Give an object, None when absent or null. Raises OddShape for any other type."""
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise OddShape(f"{name} is not an object")
        return Fields(value)

    def objects(self, name: str) -> "tuple[Fields, ...]":
        """Give a list of objects, empty when absent. Raises OddShape otherwise."""
        found: list[Fields] = []
        for value in self._list(name):
            if not isinstance(value, Mapping):
                raise OddShape(f"{name} holds something that is not an object")
            found.append(Fields(value))
        return tuple(found)

    def _list(self, name: str) -> list[Json]:
        value = self.body.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise OddShape(f"{name} is not a list")
        if len(value) > MOST:
            raise OddShape(f"{name} has more than {MOST} members")
        return value
