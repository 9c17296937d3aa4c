"""The four kinds of error of the product, told apart by who has to act.

Invariants:
1. Every public error has a stable kebab-case ``code``, one line of ``message`` and a ``hint``.
2. An `InputError` about a file always carries a `Position`.
3. No error text ever contains a secret value or raw control characters.

It does not decide exit codes (``apps`` does) and a refusal inside the pure rooms is a value
(`ringfence.policy.decision.Decision`), which becomes `Refused` only at a door.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in a file: 1-based line and column (in characters), with the line's text."""

    file: str
    line: int
    column: int
    width: int = 1
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class RingfenceError(Exception):
    """Base of the four kinds; never raised itself."""

    def __init__(
        self, code: str, message: str, *, hint: str = "", where: Position | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.where = where

    def to_json(self) -> dict[str, Any]:
        """Give the error as the JSON object every ``--json`` command prints."""
        place = None
        if self.where is not None:
            place = {
                "file": self.where.file,
                "line": self.where.line,
                "column": self.where.column,
            }
        return {"code": self.code, "message": self.message, "hint": self.hint, "where": place}


class InputError(RingfenceError):
    """The author of a file or the caller of a command has to change it."""


class Refused(RingfenceError):  # noqa: N818 - the house word for a policy "no" that reached a door
    """Policy said no; ``code`` is the rule id."""


class Unavailable(RingfenceError):  # noqa: N818 - states the condition, as the other kinds do
    """The world failed (host, disk, service); trying again may help."""


class InternalError(RingfenceError):
    """Our own mistake; please report it."""
