"""How the end of a journalled step is written down, the same for every engine.

Invariant: an exception of a step is journalled as data (kind and one bounded message), never as an
object, and raises `StepError` both on the first run and on every replay.
"""

from typing import TYPE_CHECKING

from ringfence.chain.errors import InternalError
from ringfence.engine.durable import StepError
from ringfence.store.durable.sealing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence.chain.words import Json

MAX_MESSAGE = 1_000  # characters of an exception's text that are kept


def attempt(fn: "Callable[..., Json]", args: "tuple[Json, ...]") -> "Json":
    """Run the step and give its end as JSON. Only exceptions that end a thread pass through."""
    try:
        return {"value": unpack(pack(fn(*(unpack(pack(arg)) for arg in args))))}
    except Exception as error:  # noqa: BLE001 - any failure of a step is its journalled end
        return {"kind": type(error).__name__, "message": str(error)[:MAX_MESSAGE]}


def value_of(outcome: "Json") -> "Json":
    """Give the step's value. Raises StepError when it had raised."""
    match outcome:
        case {"value": value}:
            return value
        case {"kind": str(kind), "message": str(message)}:
            raise StepError(kind, message)
    raise InternalError("journal-shape", "a journalled step is neither a value nor an error")


def time_of(value: "Json") -> float:
    """Give a journalled time. Raises InternalError when it is none."""
    if isinstance(value, float):
        return value
    raise InternalError("journal-shape", "a journalled time is not a number")
