"""Root fields of a GraphQL request, or an error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy.graphql import operations

JSON = "application/json"


def post(value: object, content_type: str = JSON) -> tuple[str, ...]:
    """Read a POST request."""
    return operations("POST", "", json.dumps(value).encode(), content_type=content_type)


def query(text: str) -> tuple[str, ...]:
    """Read a POST request with only a query."""
    return post({"query": text})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{ domainList { id } }", {"domainList"}),
        ("query Q { a b }", {"a", "b"}),
        ("mutation { ok: volumeDelete(id: 1) { id } }", {"volumeDelete"}),
        ("mutation domainUpdate { volumeDelete }", {"volumeDelete"}),
        ("query A { a } mutation B { b }", {"a", "b"}),
        ("{ ...F } fragment F on Query { a ...G } fragment G on Query { b }", {"a", "b"}),
        ("{ ... on Query { a } ... { b } }", {"a", "b"}),
        ("{ ...F } fragment F on Query { a ...F }", {"a"}),
        ("subscription { s }", {"s"}),
        ("{ __schema { types { name } } }", {"__schema"}),
        ("# volume\n{ a }", {"a"}),
    ],
)
def test_root_fields_by_their_schema_name(text: str, names: set[str]) -> None:
    """Aliases, operation names, fragments and further operations hide nothing."""
    assert set(query(text)) == names


def test_reading_operation_names_would_miss_the_alias_trick() -> None:
    """The guard-off proof: the operation name is the caller's to choose."""
    body = {"operationName": "domainList", "query": "mutation domainList { volumeDelete }"}
    assert body["operationName"] == "domainList"
    assert post(body) == ("volumeDelete",)


def test_a_batch_is_all_of_its_requests() -> None:
    """Not only the first."""
    assert post([{"query": "{a}"}, {"query": "mutation {b}"}]) == ("a", "b")


def test_the_get_form() -> None:
    """One query parameter, decoded once."""
    assert operations("GET", "query=%7Ba%7D&operationName=x", b"", content_type="") == ("a",)


@pytest.mark.parametrize(
    "value",
    [
        [], [1], 5, None, "x", {}, {"query": 5}, {"query": None}, {"query": ""}, {"query": "{"},
        {"query": "{}"}, {"query": "{ ...F }"}, {"query": "type A { b: Int }"},
        {"query": "{a} type A { b: Int }"}, {"query": "fragment F on Q { a }"},
        {"query": "{...F} fragment F on Q {a} fragment F on Q {b}"},
        {"query": "{a}", "extensions": {"persistedQuery": {"sha256Hash": "0"}}},
        {"extensions": {"persistedQuery": {"sha256Hash": "0"}}}, {"id": "1"},
        {"query": "{a}", "id": "1"}, {"query": "{a}", "Query": "{b}"},
        {"query": "{a}", "documentId": "1"},
        [{"query": "{a}"}] * 51, {"query": "{" + "a{" * 20000}, {"query": "{" + "a " * 20000 + "}"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_for_certain_is_an_error(value: object) -> None:
    """Hashes, ids, unknown fields, schema definitions, floods."""
    with pytest.raises(ValueError, match=r"\S"):
        post(value)


@pytest.mark.parametrize(
    ("method", "url", "body", "kind", "coding"),
    [
        ("POST", "", b'{"query":"{a}"}', "application/json", "gzip"),
        ("POST", "", b"\x1f\x8b", "application/json", ""),
        ("POST", "", b'{"query":"{a}","query":"{b}"}', "application/json", ""),
        ("POST", "", b'{"query":"{a}","variables":NaN}', "application/json", ""),
        ("POST", "", b"[" * 100_000, "application/json", ""),
        ("POST", "query={b}", b'{"query":"{a}"}', "application/json", ""),
        ("POST", "", b'{"query":"{a}"}', "application/json; charset=utf-16", ""),
        ("POST", "", b'{"query":"{a}"}', "text/plain", ""),
        ("POST", "", b"{a}", "application/graphql", ""),
        ("PUT", "", b'{"query":"{a}"}', "application/json", ""),
        ("GET", "query={a}&query={b}", b"", "", ""),
        ("GET", "query={a}", b"x", "", ""),
        ("GET", "hash=abc", b"", "", ""),
        ("GET", "query={a}&extensions={x}", b"", "", ""),
    ],
)
def test_hidden_or_doubled_queries_are_errors(
    method: str, url: str, body: bytes, kind: str, coding: str
) -> None:
    """Whatever another parser could read differently."""
    with pytest.raises(ValueError, match=r"\S"):
        operations(method, url, body, content_type=kind, content_encoding=coding)


def test_nested_fragments_do_not_double_the_work() -> None:
    """Thirty levels of two spreads each would be a billion selections."""
    levels = " ".join(f"fragment F{i} on Q {{ ...F{i + 1} ...F{i + 1} }}" for i in range(30))
    assert query(f"{{ ...F0 }} {levels} fragment F30 on Q {{ a }}") == ("a",)


@given(st.binary(max_size=200))
def test_any_bytes_are_names_or_an_error(body: bytes) -> None:
    """Never another exception."""
    try:
        names = operations("POST", "", body, content_type=JSON)
    except ValueError:
        return
    assert names
