import json
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ringfence.chain.errors import InputError
from ringfence.checks.finding import Severity
from ringfence.checks.output.json_schema import MAX_FINDINGS, check_schema, validate

LABELS: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["issues"],
    "additionalProperties": False,
    "properties": {
        "issues": {
            "type": "array",
            "uniqueItems": True,
            "items": {"$ref": "#/$defs/issue"},
        }
    },
    "$defs": {
        "issue": {
            "type": "object",
            "required": ["id", "label"],
            "properties": {
                "id": {"type": "integer", "minimum": 1},
                "label": {"enum": ["bug", "question"]},
                "key": {"type": "string", "pattern": "^[A-Z]+-[0-9]+$"},
            },
        }
    },
}


def messages(document: object, schema: Mapping[str, Any] = LABELS) -> list[str]:
    """Give the messages for a document."""
    return [finding.message for finding in validate(json.dumps(document).encode(), schema)]


def test_a_fitting_document_has_no_findings() -> None:
    """What the author described passes."""
    assert messages({"issues": [{"id": 1, "label": "bug", "key": "AB-12"}]}) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "expected type object (at the top)"),
        ({}, "missing: issues (at the top)"),
        ({"issues": [], "SECRETKEY": 1}, "it has members the schema does not list (at the top)"),
        ({"issues": [{"id": 0, "label": "bug"}]}, "minimum 1 is not met (at /issues/0/id)"),
        ({"issues": [{"id": 1, "label": "SECRET"}]}, "enum is not met (at /issues/0/label)"),
        (
            {"issues": [{"id": 1, "label": "bug", "key": "SECRET"}]},
            "pattern is not met (at /issues/0/key)",
        ),
        (
            {"issues": [{"id": 1, "label": "bug"}, {"id": 1.0, "label": "bug"}]},
            "uniqueItems is not met (at /issues)",
        ),
    ],
)
def test_findings_point_at_the_place_in_the_authors_words(document: object, message: str) -> None:
    """The pointer and the keyword are shown, never what the agent wrote."""
    found = validate(json.dumps(document).encode(), LABELS)
    assert [finding.message for finding in found] == [message]
    assert found[0].check == "output-schema"
    assert found[0].severity is Severity.HIGH
    assert "SECRET" not in repr(found)


def test_a_member_that_may_not_be_there_is_a_finding() -> None:
    """`false` as a schema forbids the member (the library gives no pointer for it)."""
    (message,) = messages({"a": 1}, {"properties": {"a": False}})
    assert message.startswith("nothing is allowed here")


def test_a_pattern_is_about_text_only() -> None:
    """Numbers have no pattern; many texts share one compiled pattern."""
    assert messages([1, "a", "b", "C"], {"items": {"pattern": "^[a-z]$"}}) == [
        "pattern is not met (at /3)"
    ]


def test_keys_of_the_document_are_not_repeated() -> None:
    """A hostile key is a way to put text into our reports."""
    schema = {"additionalProperties": {"type": "integer"}}
    assert messages({"<b>SECRET": "x"}, schema) == ["expected type integer (at /<unlisted>)"]


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b'{"issues":[],"issues":[]}', b"NaN", b"[" * 5_000, b"\xff", b" " * 2_000_000],
)
def test_an_unreadable_document_is_a_finding(document: bytes) -> None:
    """Not JSON, ambiguous, too deep or too long: failed, with the reason."""
    found = validate(document, LABELS)
    assert len(found) == 1
    assert "cannot be read" in found[0].message


def test_the_number_of_findings_is_bounded() -> None:
    """A thousand wrong members make a short report."""
    assert len(messages({"issues": [{}] * 1 + [{"id": -n} for n in range(500)]})) == MAX_FINDINGS


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "objekt"}, "/type is not valid"),
        ({"$ref": "https://evil.test/schema.json"}, "outside the schema"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "outside the schema"),
        ({"$ref": "other.json#/x"}, "outside the schema"),
        ({"$id": "https://evil.test/"}, "another address"),
        ({"$ref": "#/$defs/none"}, "is not in it"),
        ({"$ref": "#"}, "without end"),
        ({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, "without end"),
        (
            {"properties": {"properties": {"$ref": "https://evil.test/"}}},
            "/properties/properties/\\$ref points outside",
        ),
        ({"patternProperties": {"^a": {}}}, "patternProperties"),
        ({"$dynamicRef": "#x"}, "dynamicRef"),
        ({"pattern": "(?=a)"}, "look-around"),
        ({"items": {"pattern": "[a"}}, "ends too early"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "2020-12"),
        ({"description": "x" * 70_000}, "larger"),
        ({"const": float("nan")}, "not JSON"),
    ],
)
def test_a_schema_we_cannot_use_is_refused_when_it_is_read(
    schema: Mapping[str, Any], why: str
) -> None:
    """The author hears of it before any agent runs."""
    with pytest.raises(InputError, match=why) as caught:
        check_schema(schema)
    assert caught.value.code == "bad-output-schema"
    assert caught.value.hint


def test_a_schema_nested_too_deep_is_refused() -> None:
    """Bounded depth, checked before anything recurses into it."""
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"not": schema}
    with pytest.raises(InputError, match="deeper"):
        check_schema(schema)


def test_members_may_be_named_like_keywords() -> None:
    """A property called `pattern` or `$ref` is only a name."""
    schema = {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "integer"}}}
    check_schema(schema)
    assert messages({"pattern": "(?=", "$ref": 1}, schema) == []


def test_recursive_schemas_work() -> None:
    """A tree is a fair thing to describe."""
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["id"]}
    assert messages({"id": 1, "next": {"id": 2, "next": {"id": 3}}}, tree) == []
    assert messages({"id": 1, "next": {}}, tree) == ["missing: id (at /next)"]


def test_a_document_that_explodes_a_recursive_schema_is_refused() -> None:
    """Two branches at each level are 2^60 visits for the library; ours counts and stops."""
    branch = {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["b"]}
    schema = {"$defs": {"n": {"anyOf": [branch, branch]}}, "$ref": "#/$defs/n"}
    document: dict[str, Any] = {}
    for _ in range(60):
        document = {"a": document}
    assert messages(document, schema) == ["the document is too complex for the schema (at the top)"]


def test_many_items_are_compared_in_linear_time() -> None:
    """The library compares unlike items pair by pair; here 50,000 of them are no matter."""
    items = [{"n": n} if n % 2 else [n] for n in range(50_000)]
    assert messages(items, {"uniqueItems": True}) == []


def test_the_library_alone_would_look_references_up() -> None:
    """Guard-off proof: without our check the library accepts a schema that points elsewhere."""
    Draft202012Validator.check_schema({"$ref": "https://evil.test/schema.json"})
