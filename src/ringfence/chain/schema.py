"""The JSON Schema of a chain file (draft 2020-12), for editors, made from the table of fields.

It says less than `parse` does: what needs more than one field, or arithmetic, is not in it. It
never says more: what `parse` takes satisfies it. ``chain.schema.json`` beside this file is its
text; a test compares the two.
"""

import json

from ringfence.chain.fields import CHAIN
from ringfence.chain.shape import (
    Choice,
    Duration,
    Field,
    Free,
    ListOf,
    MapOf,
    Record,
    Shape,
    Text,
    Whole,
)
from ringfence.chain.words import Json

SCHEMA_ID = "https://ringfence.dev/schema/chain-v1.json"
DURATION = "^[1-9][0-9]{0,6}[smhd]$"


def json_schema() -> dict[str, Json]:
    """Give the schema as a JSON object."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Ringfence chain",
        **_record(CHAIN),
    }


def schema_text() -> str:
    """Give the schema as the text of ``chain.schema.json``, with a final newline."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema(shape: Shape) -> dict[str, Json]:
    match shape:
        case Text():
            return _text(shape)
        case Choice(values=values):
            return {"enum": [str(value) for value in values]}
        case Whole(least=least, most=most):
            return {"type": "integer", "minimum": least, "maximum": most}
        case Duration(least=least, most=most):
            whole: Json = {"type": "integer", "minimum": least, "maximum": most}
            return {"anyOf": [whole, {"type": "string", "pattern": DURATION}]}
        case ListOf():
            return _list(shape)
        case MapOf(key=key, value=value, most=most):
            return {
                "type": "object",
                "propertyNames": _text(key),
                "additionalProperties": _schema(value),
                "maxProperties": most,
            }
        case Free():
            return {"type": "object"}
        case Record(shorthand=shorthand):
            record: dict[str, Json] = _record(shape)
            return record if shorthand is None else {"anyOf": [_text(shorthand), record]}


def _text(shape: Text) -> dict[str, Json]:
    schema: dict[str, Json] = {"type": "string", "maxLength": shape.longest}
    if shape.pattern:
        schema["pattern"] = f"^(?:{shape.pattern})$"
    return schema


def _list(shape: ListOf) -> dict[str, Json]:
    item = _schema(shape.item)
    many: dict[str, Json] = {
        "type": "array",
        "items": item,
        "minItems": shape.least,
        "maxItems": shape.most,
    }
    if not shape.repeats and isinstance(shape.item, Text):
        many["uniqueItems"] = True
    return {"anyOf": [item, many]} if shape.lone else many


def _record(shape: Record) -> dict[str, Json]:
    properties: dict[str, Json] = {}
    for known in shape.fields:
        for name in (known.name, known.alias):
            if name:
                properties[name] = _field(known)
    plain: list[Json] = [f.name for f in shape.fields if f.required and not f.alias]
    schema: dict[str, Json] = {
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }
    if plain:
        schema["required"] = plain
    either: list[Json] = [
        {"oneOf": [{"required": [f.name]}, {"required": [f.alias]}]}
        for f in shape.fields
        if f.required and f.alias
    ]
    if either:
        schema["allOf"] = either
    return schema


def _field(known: Field) -> dict[str, Json]:
    if known.refused:
        return {
            "description": f"{known.doc} Not enforced by this version, so refused.",
            "not": {},
        }
    return {"description": known.doc, **_schema(known.shape)}
