"""The walk that checks a tree against a shape and collects what is wrong.

Invariants:
1. It notes every fault, up to a bound, and goes on; it never stops at the first.
2. A field that no shape names is a fault; only names with the prefix ``x-`` are free.
3. What passed has the types its shape says, so records are built from it without asking again.
"""

import re

from ringfence.chain.errors import InputError, Position
from ringfence.chain.node import Items, Leaf, Node, Table, quoted
from ringfence.chain.shape import (
    DURATION,
    Choice,
    Duration,
    Free,
    ListOf,
    MapOf,
    Record,
    Shape,
    Text,
    Whole,
    nearest,
    seconds,
)
from ringfence.chain.source import Source

MOST_ERRORS = 50  # a person reads no more, and a hostile file gets no larger answer


class Faults:
    """Collect errors of one file, up to a bound."""

    __slots__ = ("_errors", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self._errors: list[InputError] = []

    @property
    def errors(self) -> tuple[InputError, ...]:
        """Everything found, in the order of the file."""
        return tuple(
            sorted(
                self._errors,
                key=lambda e: (e.where.line, e.where.column) if e.where else (0, 0),
            )
        )

    def __bool__(self) -> bool:
        return bool(self._errors)

    def add(self, code: str, message: str, at: Node, *, hint: str = "") -> None:
        """Note one fault at a node."""
        self.add_span(code, message, at.start, at.end, hint=hint)

    def add_span(self, code: str, message: str, start: int, end: int, *, hint: str = "") -> None:
        """Note one fault at a span."""
        if len(self._errors) < MOST_ERRORS:
            self._errors.append(self.source.error(code, message, start, end, hint=hint))

    def judge(self, fault: str, code: str, at: Node | None, *, hint: str = "") -> None:
        """Note what a grammar found wrong; an empty ``fault`` means nothing was."""
        if fault and at is not None:
            self.add(code, fault, at, hint=hint)

    def where(self, node: Node) -> Position:
        """Give the place of a node."""
        return self.source.position(node.start, node.end)


def check(node: Node, shape: Shape, faults: Faults, *, name: str) -> bool:
    """Check a tree; ``name`` is the field's name for messages. False when a fault was noted."""
    match shape:
        case Text():
            return _check_text(node, shape, faults, name)
        case Choice():
            return _check_choice(node, shape, faults, name)
        case Whole() | Duration():
            return _check_number(node, shape, faults, name)
        case ListOf():
            return _check_list(node, shape, faults, name)
        case MapOf():
            return _check_map(node, shape, faults, name)
        case Free():
            return isinstance(node, Table) or _wrong_type(node, "a mapping", faults, name)
        case Record():
            return _check_record(node, shape, faults, name)


def _wrong_type(node: Node, expected: str, faults: Faults, name: str, hint: str = "") -> bool:
    found = "a mapping" if isinstance(node, Table) else "a list"
    if isinstance(node, Leaf):
        match node.value:
            case None:
                found = "nothing"
            case bool():
                found = f"the truth value {str(node.value).lower()}"
            case int() | float():
                found = f"the number {node.value}"
            case str():
                found = "text"
    faults.add("wrong-type", f"{name} has to be {expected}, not {found}", node, hint=hint)
    return False


def _check_text(node: Node, shape: Text, faults: Faults, name: str) -> bool:
    value = node.value if isinstance(node, Leaf) else None
    if not isinstance(value, str):
        return _wrong_type(node, shape.says, faults, name, "write it in quotes" if value else "")
    if len(value) > shape.longest:
        faults.add("too-long", f"{name} has at most {shape.longest} characters", node)
        return False
    if shape.pattern and re.fullmatch(shape.pattern, value) is None:
        faults.add("bad-value", f"{name} {quoted(value)} is not {shape.says}", node)
        return False
    return True


def _check_choice(node: Node, shape: Choice, faults: Faults, name: str) -> bool:
    value = node.value if isinstance(node, Leaf) else None
    known = f"known: {', '.join(shape.values)}"
    if not isinstance(value, str):
        return _wrong_type(node, "one of a few words", faults, name, known)
    if value not in shape.values:
        hint = _nearest(value, shape.values) + known
        faults.add("bad-value", f"{name} {quoted(value)} is not known", node, hint=hint)
        return False
    return True


def _check_number(node: Node, shape: Whole | Duration, faults: Faults, name: str) -> bool:
    value = node.value if isinstance(node, Leaf) else None
    timed = isinstance(shape, Duration)
    if timed and isinstance(value, str) and DURATION.fullmatch(value):
        value = seconds(value)
    if not isinstance(value, int) or isinstance(value, bool):
        hint = "or text such as 90s, 10m, 2h, 1d" if timed else ""
        return _wrong_type(node, "whole seconds" if timed else "a whole number", faults, name, hint)
    if shape.least <= value <= shape.most:
        return True
    faults.add(
        "out-of-range",
        f"{name} has to be from {shape.least} to {shape.most}, not {value}",
        node,
    )
    return False


def _check_list(node: Node, shape: ListOf, faults: Faults, name: str) -> bool:
    if not isinstance(node, Items):
        if shape.lone:
            return check(node, shape.item, faults, name=name)
        is_text = isinstance(node, Leaf) and isinstance(node.value, str)
        hint = shape.instead_of_text if is_text else ""
        return _wrong_type(node, "a list", faults, name, hint)
    good = True
    if not shape.least <= len(node.items) <= shape.most:
        faults.add(
            "wrong-length",
            f"{name} has to have {_span(shape.least, shape.most)}, not {len(node.items)}",
            node,
        )
        good = False
    seen: set[str] = set()
    for item in node.items[: shape.most]:
        good &= check(item, shape.item, faults, name=name)
        text = item.value if isinstance(item, Leaf) and isinstance(item.value, str) else None
        if text is None or shape.repeats:
            continue
        if text in seen:
            faults.add("listed-twice", f"{name} lists {quoted(text)} twice", item)
            good = False
        seen.add(text)
    return good


def _span(least: int, most: int) -> str:
    if least == most:
        return f"{least} item{'' if least == 1 else 's'}"
    return f"{least} to {most} items" if least else f"at most {most} items"


def _check_map(node: Node, shape: MapOf, faults: Faults, name: str) -> bool:
    if not isinstance(node, Table):
        return _wrong_type(node, "a mapping", faults, name)
    good = True
    if len(node.entries) > shape.most:
        faults.add("wrong-length", f"{name} has at most {shape.most} entries", node)
        good = False
    for entry in node.entries.values():
        good &= _check_text(entry.key, shape.key, faults, f"a name in {name}")
        good &= check(entry.value, shape.value, faults, name=f"{name}.{entry.name[:60]}")
    return good


def _check_record(node: Node, shape: Record, faults: Faults, name: str) -> bool:
    if not isinstance(node, Table):
        if isinstance(node, Leaf) and isinstance(node.value, str):
            if shape.shorthand is not None:
                return _check_text(node, shape.shorthand, faults, name)
            return _wrong_type(node, "a mapping", faults, shape.what, shape.no_shorthand)
        return _wrong_type(node, "a mapping", faults, shape.what)
    known = {key: f for f in shape.fields for key in (f.name, f.alias) if key}
    good = True
    for entry in node.entries.values():
        if entry.name.startswith("x-"):
            continue
        if entry.name not in known:
            _unknown(entry.key, entry.name, shape, faults)
            good = False
        elif known[entry.name].refused:
            faults.add(
                "not-enforced",
                f"{quoted(entry.name)} is not enforced by this version, so it is refused",
                entry.key,
                hint=known[entry.name].refused,
            )
            good = False
        else:
            good &= check(entry.value, known[entry.name].shape, faults, name=entry.name)
    return _check_presence(node, shape, faults) and good


def _check_presence(node: Table, shape: Record, faults: Faults) -> bool:
    good = True
    for wanted in shape.fields:
        given = [key for key in (wanted.name, wanted.alias) if key and key in node.entries]
        if wanted.required and not given:
            start = node.start
            faults.add_span(
                "missing-field",
                f"{shape.what} has no {quoted(wanted.name)}",
                start,
                start + 1,
                hint=wanted.doc,
            )
            good = False
        if len(given) > 1:
            faults.add(
                "duplicate-key",
                f"{quoted(wanted.name)} and {quoted(wanted.alias)} mean the same field",
                node.entries[given[1]].key,
                hint="keep one of the two",
            )
            good = False
    return good


def _unknown(key: Leaf, name: str, shape: Record, faults: Faults) -> None:
    names = tuple(f.name for f in shape.fields if not f.refused)
    faults.add(
        "unknown-field",
        f"{shape.what} has no field {quoted(name)}",
        key,
        hint=_nearest(name, names) + f"known: {', '.join(sorted(names))}, and x-...",
    )


def _nearest(name: str, names: tuple[str, ...]) -> str:
    found = nearest(name, names)
    return f'did you mean "{found}"? ' if found else ""
