"""Records to JSON and back, for values that pass through a journal.

Invariants:
1. Decoding is strict: exactly the record's own keys, exactly the declared types, bounded sizes.
   The journal is untrusted input, so nothing is coerced and nothing is defaulted.
2. Only the record types named in the caller's table can come out of it.

It knows no record itself; ``events`` and ``commands`` bring their tables.
"""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

from ringfence.chain.errors import InputError

if TYPE_CHECKING:
    from ringfence.chain.words import Json

MAX_TEXT = 4_096  # characters: names and one-line reasons, never an agent's output
MAX_ITEMS = 256  # events one agent may emit, issues one gate may raise
MAX_SECONDS = 10 * 365 * 24 * 3_600.0  # ten years: longer waits are mistakes


class Record(Protocol):
    """Any frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]


R = TypeVar("R", bound=Record)


def encode(record: Record, table: Mapping[str, type[R]], tag: str) -> "dict[str, Json]":
    """Give the record as a JSON object whose ``tag`` key holds its name in the table."""
    name = next(key for key, kind in table.items() if type(record) is kind)
    return {tag: name, **_body(record)}


def decode(value: "Json", table: Mapping[str, type[R]], tag: str) -> R:
    """Read a record of the table from untrusted JSON. Raises InputError for anything else."""
    if not isinstance(value, dict):
        raise _invalid(tag, "not an object")
    name = value.get(tag)
    if not isinstance(name, str) or name not in table:
        raise _invalid(tag, "of no known kind")
    return _read(table[name], {k: v for k, v in value.items() if k != tag}, tag)


def _body(record: Record) -> "dict[str, Json]":
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def _plain(value: object) -> "Json":
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return _body(value)  # type: ignore[arg-type]  # tables hold dataclasses of these kinds only


def _read(kind: type[R], body: "dict[str, Json]", tag: str) -> R:
    hints = get_type_hints(kind)
    names = {field.name for field in fields(kind)}
    if body.keys() != names:
        raise _invalid(tag, "with missing or unknown fields")
    return kind(**{name: _typed(body[name], hints[name], tag) for name in names})


def _typed(value: "Json", hint: object, tag: str) -> object:
    """Check one field. ``bool`` is no ``int`` here, and only a float field takes an int."""
    if get_origin(hint) is tuple and isinstance(value, list) and len(value) <= MAX_ITEMS:
        return tuple(_typed(item, get_args(hint)[0], tag) for item in value)
    if hint is str and isinstance(value, str) and len(value) <= MAX_TEXT:
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and type(value) is int and 0 <= value <= 2**31:
        return value
    if hint is float and type(value) in {int, float} and 0 <= value <= MAX_SECONDS:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__") and isinstance(value, dict):
        return _read(hint, value, tag)
    raise _invalid(tag, "with a field of the wrong type or size")


def _invalid(tag: str, what: str) -> InputError:
    return InputError(
        f"{tag}-invalid", f"{tag} {what}", hint="the journal was changed by another program"
    )
