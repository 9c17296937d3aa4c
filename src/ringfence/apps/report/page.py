"""Writes the report page.

Invariants:
1. One file: no script, no network, no form; its content policy allows its own style by hash and
   nothing else.
2. Every printed expression goes through `_shown` and then through HTML escaping, at one place
   each: the environment below. The template has no way around either (a test reads it for that).
3. The same view gives the same bytes.
"""

import base64
import hashlib
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import TypeVar

import jinja2
from markupsafe import Markup

from ringfence.apps.report.picture import pictures
from ringfence.chain.errors import Unavailable
from ringfence.control import tables
from ringfence.control.view import RunView
from ringfence.control.visible import visible

T = TypeVar("T")

MOST_ROWS = 1_000
"""Rows of one table, and agents; the log holds the rest and the page says so."""

_NONE = Markup('<span class="none">not recorded</span>')
_MARKS = {
    "succeeded": ("ok", "✓"),
    "approved": ("ok", "✓"),
    "merged": ("ok", "✓"),
    "allowed": ("ok", "✓"),
    "failed": ("bad", "✕"),
    "timed-out": ("bad", "✕"),
    "refused": ("bad", "✕"),
    "dropped": ("bad", "✕"),
    "rejected": ("bad", "✕"),
    "invalid": ("bad", "✕"),
    "critical": ("bad", "▲"),
    "high": ("bad", "▲"),
    "medium": ("wait", "▲"),
    "low": ("off", "▲"),
    "waiting": ("wait", "‖"),
    "open": ("wait", "‖"),
    "held": ("wait", "‖"),
    "cancelled": ("off", "■"),
    "expired": ("off", "■"),
    "not started": ("off", "○"),
}


def render(view: RunView) -> str:
    """Give the page of one run as HTML text."""
    style = _resource("style.css")
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    page = _environment().from_string(_resource("page.html"))
    return page.render(
        view=view,
        tables=tables,
        pictures=pictures(view),
        rules=tables.by_rule(view),
        numbers={agent.name: index for index, agent in enumerate(view.agents, 1)},
        style=Markup(style),  # noqa: S704 - our own package file; the policy hashes these bytes
        style_hash=hashed,
    )


def write_report(view: RunView, path: Path) -> None:
    """Write the page of one run to ``path``, readable by its owner only, whole or not at all.

    An existing file is replaced, a symbolic link is replaced and not followed. Raises Unavailable
    when the directory cannot be written.
    """
    page = render(view).encode("utf-8")
    try:
        handle, name = tempfile.mkstemp(prefix=".report-", dir=path.parent)  # created 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(page)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Unavailable(
            "report-not-written",
            f"the report could not be written: {error.strerror or type(error).__name__}",
            hint="name a directory you may write in",
        ) from error


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        moment=tables.moment,
        duration=tables.duration,
        size=tables.size,
        few=_few,
        mark=_mark,
        cut=_cut,
        sentence=_sentence,
    )
    environment.tests["plain_id"] = _is_plain_id
    return environment


def _shown(value: object) -> object:
    if value is None:
        return _NONE
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)


def _few(rows: tuple[T, ...]) -> tuple[T, ...]:
    return rows[:MOST_ROWS]


def _cut(text: str, limit: int = 90) -> str:
    return visible(text, limit=limit)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _mark(status: str) -> tuple[str, str]:
    """Give the class and the sign that go with a status word; the word itself is always shown."""
    return _MARKS.get(status, ("off", "•"))


def _is_plain_id(text: str) -> bool:
    """Say whether an id may be shown inside a command that a person will copy into a shell."""
    return 0 < len(text) <= 80 and all(c.isascii() and (c.isalnum() or c in "-_.") for c in text)


def _resource(name: str) -> str:
    return resources.files("ringfence.apps.report").joinpath(name).read_text(encoding="utf-8")
