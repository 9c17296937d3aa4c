"""Validate an agent's output document against the ``outputSchema`` of its chain file.

Invariants:
1. The schema cannot reach outside itself: only references that start with ``#`` are accepted, and
   the registry the validator gets can fetch nothing.
2. A schema that is wrong, or uses what we cannot bound, is refused when the chain is read.
3. No document takes unbounded time: size and depth are capped, ``pattern`` runs on a linear
   matcher (`pattern`), ``uniqueItems`` on digests, and references are counted (a recursive schema
   with several branches visits a deep document exponentially often otherwise).
4. Findings name the place by JSON pointer and the keyword that failed; values from the document
   never appear, and neither do keys the schema does not name.

``patternProperties`` is refused; ``format`` is an annotation, as the specification has it
(JSON Schema 2020-12).
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping

from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from ringfence.chain.canonical import canonical_json, digest
from ringfence.chain.errors import InputError
from ringfence.chain.words import Json
from ringfence.checks.finding import Finding, Severity
from ringfence.checks.output.pattern import LinearPattern, UnsupportedPattern
from ringfence.checks.strict_json import NotStrictJson, read_json

MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_DOCUMENT_DEPTH = 64
MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 64
MAX_FINDINGS = 20
# About 2 s of work at worst; a list of as many referenced items still fits.
MAX_REFERENCES = 20_000

CHECK = "output-schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_HINT = "see docs/rules/output-schema.md for what an outputSchema may use"
_NAME_MAPS = ("properties", "$defs", "definitions", "dependentSchemas", "dependentRequired")
_PLAIN_DATA = ("const", "enum", "default", "examples")
REFUSED_KEYWORDS = ("patternProperties", "$dynamicRef", "$dynamicAnchor", "$recursiveRef")


class _TooMuch(Exception):  # noqa: N818 - stops a validation from inside; never leaves this module
    """The validation used up its budget of references."""


def check_schema(schema: Mapping[str, Json]) -> None:
    """Make sure that `validate` can use the schema.

    Raises InputError (code ``bad-output-schema``) that names what is wrong and where.
    """
    root = dict(schema)
    try:
        size = len(canonical_json(root))
    except (TypeError, ValueError, RecursionError):
        raise _bad("it is not JSON") from None
    if size > MAX_SCHEMA_BYTES:
        raise _bad(f"it is larger than {MAX_SCHEMA_BYTES} bytes")
    _check_node(root, ())
    try:
        Draft202012Validator.check_schema(root)
    except SchemaError as error:
        raise _bad(f"{_pointer(error.absolute_path)} is not valid") from None
    _check_references(root)


def validate(document: bytes, schema: Mapping[str, Json]) -> tuple[Finding, ...]:
    """Give what is wrong with the document, at most `MAX_FINDINGS`; empty when it fits.

    Raises InputError when the schema itself cannot be used (see `check_schema`).
    """
    try:
        value = read_json(document, max_bytes=MAX_DOCUMENT_BYTES, max_depth=MAX_DOCUMENT_DEPTH)
    except NotStrictJson as error:
        return (_finding(f"the document cannot be read: {error}", ""),)
    check_schema(schema)
    root = dict(schema)
    known = frozenset(_names(root))
    try:
        errors = list(itertools.islice(_validator(root).iter_errors(value), MAX_FINDINGS))
    except (_TooMuch, RecursionError, Unresolvable):
        return (_finding("the document is too complex for the schema", ""),)
    return tuple(
        _finding(_message(error), _pointer(error.absolute_path, known)) for error in errors
    )


def _finding(message: str, pointer: str) -> Finding:
    return Finding(
        check=CHECK,
        severity=Severity.HIGH,
        message=f"{message} (at {pointer or 'the top'})",
        detail={"pointer": pointer},
    )


def _bad(why: str) -> InputError:
    return InputError("bad-output-schema", f"outputSchema cannot be used: {why}", hint=_HINT)


def _check_node(node: Json, path: tuple[str | int, ...], *, names: bool = False) -> None:
    """Check keywords; ``names`` says that the keys here are names of members or definitions."""
    if len(path) > MAX_SCHEMA_DEPTH:
        raise _bad(f"it is nested deeper than {MAX_SCHEMA_DEPTH}")
    if isinstance(node, list):
        for number, item in enumerate(node):
            _check_node(item, (*path, number))
    if not isinstance(node, dict):
        return
    for key, inner in node.items():
        if names:
            _check_node(inner, (*path, key))
            continue
        _check_keyword(key, inner, (*path, key))
        if key not in _PLAIN_DATA:
            _check_node(inner, (*path, key), names=key in _NAME_MAPS)


def _check_keyword(key: str, inner: Json, path: tuple[str | int, ...]) -> None:
    place = _pointer(path)
    if key in REFUSED_KEYWORDS:
        raise _bad(f"{place} uses {key}, which is not supported")
    if key == "$ref" and not (isinstance(inner, str) and inner.startswith("#")):
        raise _bad(f"{place} points outside the schema")
    if key == "$id":
        raise _bad(f"{place} gives the schema another address, which is not supported")
    if key == "$schema" and inner != DIALECT:
        raise _bad(f"{place} is not {DIALECT}")
    if key == "pattern" and isinstance(inner, str):
        try:
            LinearPattern(inner)
        except UnsupportedPattern as error:
            raise _bad(f"{place}: {error}") from None


def _check_references(root: dict[str, Json]) -> None:
    """Resolve every reference once, and refuse those that only lead back to themselves."""
    resolver = DRAFT202012.create_resource(root)
    registry: Registry[Json] = Registry()
    lookup = registry.with_resource("", resolver).resolver(base_uri="")
    for reference in set(_references(root)):
        try:
            lookup.lookup(reference)
        except Unresolvable:
            raise _bad(f"{reference} is not in it") from None
    samples: tuple[Json, ...] = (None, True, 0, "", [], {})
    for sample in samples:
        try:
            for _ in _validator(root).iter_errors(sample):
                pass
        except (_TooMuch, RecursionError):
            raise _bad("a reference leads back to itself without end") from None


def _references(node: Json) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    elif isinstance(node, dict):
        for key, inner in node.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner
            elif key not in _PLAIN_DATA:
                yield from _references(inner)


def _names(node: Json) -> Iterator[str]:
    """Give every member name the schema mentions: these are the author's words."""
    if isinstance(node, list):
        for item in node:
            yield from _names(item)
    elif isinstance(node, dict):
        for key, inner in node.items():
            yield key
            yield from _names(inner)


def _pointer(path: Iterable[str | int], known: frozenset[str] | None = None) -> str:
    parts = []
    for part in path:
        text = str(part)
        if known is not None and isinstance(part, str) and part not in known:
            text = "<unlisted>"
        parts.append("/" + text.replace("~", "~0").replace("/", "~1"))
    return "".join(parts)


def _message(error: ValidationError) -> str:
    """Say what failed in the author's words only."""
    keyword, expected, value = str(error.validator), error.validator_value, error.instance
    match keyword:
        case "required" if isinstance(expected, list) and isinstance(value, dict):
            return "missing: " + ", ".join(str(name) for name in expected if name not in value)
        case "additionalProperties" | "unevaluatedProperties":
            return "it has members the schema does not list"
        case "type":
            return f"expected type {expected}"
        case "None":
            return "nothing is allowed here"
        case (
            "minimum"
            | "maximum"
            | "exclusiveMinimum"
            | "exclusiveMaximum"
            | "multipleOf"
            | (
                "minLength"
                | "maxLength"
                | "minItems"
                | "maxItems"
                | "minProperties"
                | "maxProperties"
            )
        ):
            return f"{keyword} {expected} is not met"
    return f"{keyword} is not met"


def _validator(root: dict[str, Json]) -> Validator:
    """Make a validator whose costly keywords are bounded and whose registry fetches nothing."""
    patterns: dict[str, LinearPattern] = {}
    spent = itertools.count(1)
    original = Draft202012Validator.VALIDATORS["$ref"]

    def ref(validator: object, ref: str, instance: object, schema: object) -> object:
        if next(spent) > MAX_REFERENCES:
            raise _TooMuch
        return original(validator, ref, instance, schema)

    def pattern(_: object, source: str, instance: object, __: object) -> Iterator[ValidationError]:
        if not isinstance(instance, str):
            return
        if source not in patterns:
            patterns[source] = LinearPattern(source)
        if not patterns[source].found_in(instance):
            yield ValidationError("pattern")

    def unique(
        _: object, wanted: object, instance: list[Json], __: object
    ) -> Iterator[ValidationError]:
        if wanted and isinstance(instance, list):
            digests = {digest(_plain(item)) for item in instance}
            if len(digests) != len(instance):
                yield ValidationError("uniqueItems")

    bounded: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {"$ref": ref, "pattern": pattern, "uniqueItems": unique}
    )
    return bounded(root, registry=Registry())


def _plain(value: Json) -> Json:
    """Give 1.0 as 1: JSON Schema compares numbers by value."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value
