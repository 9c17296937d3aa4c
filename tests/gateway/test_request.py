# ruff: noqa: E501 - the table of attacks reads better with one a line
"""What a body says is decided too: GraphQL operations, sizes, forms."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]


@pytest.fixture
def cloud(world: Any, start_upstream: Make, rule: Make) -> Any:
    """An API where two operations are allowed, and a mutation that deletes volumes exists."""
    upstream = start_upstream("cloud.test")
    upstream.box = world.open(
        rule(
            "cloud.test", upstream.port, methods=("GET", "POST"), paths=("/graphql",),
            graphql_operations=("domainList", "domainUpdate"),
        )
    )  # fmt: skip
    return upstream


def send(cloud: Any, method: str, path: str, body: bytes, *lines: str) -> bytes:
    """Send one request to the API."""
    head = [
        f"{method} {path} HTTP/1.1", f"Host: cloud.test:{cloud.port}", "Connection: close", *lines,
    ]  # fmt: skip
    if not any(line.startswith("Transfer-Encoding") for line in lines):
        head.append(f"Content-Length: {len(body)}")
    data = ("\r\n".join(head) + "\r\n\r\n").encode() + body
    answer: bytes = cloud.box.fetch(f"cloud.test:{cloud.port}", data)
    return answer


def query(text: str, **more: object) -> bytes:
    """Build a JSON body."""
    return json.dumps({"query": text, **more}).encode()


JSON = "Content-Type: application/json"
DELETE = "mutation { volumeDelete(id: 1) { ok } }"
BATCH = json.dumps([{"query": "{domainList}"}, {"query": DELETE}]).encode()
HASH = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}

ATTACKS: dict[str, tuple[str, str, bytes, tuple[str, ...], str]] = {
    "plain": ("POST", "/graphql", query(DELETE), (JSON,), "graphql-operation"),
    "alias": ("POST", "/graphql", query("mutation { domainList: volumeDelete }"), (JSON,), "graphql-operation"),
    "named": ("POST", "/graphql", query("mutation domainList { volumeDelete }", operationName="domainList"), (JSON,), "graphql-operation"),
    "batch": ("POST", "/graphql", BATCH, (JSON,), "graphql-operation"),
    "two": ("POST", "/graphql", query("query A {domainList} mutation B {volumeDelete}", operationName="A"), (JSON,), "graphql-operation"),
    "fragment": ("POST", "/graphql", query("mutation {...F} fragment F on M {volumeDelete}"), (JSON,), "graphql-operation"),
    "get": ("GET", "/graphql?query=mutation%7BvolumeDelete%7D", b"", (), "graphql-operation"),
    "hash": ("POST", "/graphql", json.dumps({"extensions": HASH}).encode(), (JSON,), "graphql-unreadable"),
    "hash-beside": ("POST", "/graphql", query("{domainList}", extensions=HASH), (JSON,), "graphql-unreadable"),
    "id": ("POST", "/graphql", query("{domainList}", id="9"), (JSON,), "graphql-unreadable"),
    "url-and-body": ("POST", "/graphql?query={volumeDelete}", query("{domainList}"), (JSON,), "graphql-unreadable"),
    "gzip": ("POST", "/graphql", gzip.compress(query("{domainList}")), (JSON, "Content-Encoding: gzip"), "graphql-unreadable"),
    "two-types": ("POST", "/graphql", query("{domainList}"), (JSON, "Content-Type: text/plain"), "request-malformed"),
    "garbage": ("POST", "/graphql", b"\xff\xfe", (JSON,), "graphql-unreadable"),
    "get-body": ("GET", "/graphql?query={domainList}", b"x", (), "graphql-unreadable"),
    "huge": ("POST", "/graphql", b" " * 1_100_000, (JSON,), "body-uninspectable"),
    "override": ("POST", "/graphql", query("{domainList}"), (JSON, "X-HTTP-Method-Override: DELETE"), "method-override"),
    "other-path": ("POST", "/graphql/", query(DELETE), (JSON,), "no-rule"),
    "other-case": ("POST", "/GraphQL", query(DELETE), (JSON,), "no-rule"),
    "rest": ("DELETE", "/volumes/1", b"", (), "no-rule"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_destructive_operation_does_not_get_out(cloud: Any, world: Any, attack: str) -> None:
    """However it is dressed up."""
    method, path, body, lines, expected = ATTACKS[attack]
    answer = send(cloud, method, path, body, *lines)
    assert f'"{expected}"'.encode() in answer
    assert world.denials() == [expected]
    assert not cloud.seen


def test_a_rule_by_path_alone_would_have_let_it_out(
    world: Any, start_upstream: Make, rule: Make
) -> None:
    """The guard-off proof: the same request under a rule without operations."""
    upstream = start_upstream("cloud.test")
    upstream.box = world.open(rule("cloud.test", upstream.port, paths=("/graphql",)))
    assert b" 200 " in send(upstream, "POST", "/graphql", query(DELETE), JSON)


@pytest.mark.parametrize("chunked", [True, False])
def test_an_allowed_operation_is_done_once(cloud: Any, *, chunked: bool) -> None:
    """In either framing, byte for byte."""
    body = query("mutation { domainUpdate(id: 1) { ok } }")
    if chunked:
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        answer = send(cloud, "POST", "/graphql", framed, JSON, "Transfer-Encoding: chunked")
    else:
        answer = send(cloud, "POST", "/graphql", body, JSON)
    assert b" 200 " in answer
    assert [seen["body"] for seen in cloud.seen] == [body]


def test_a_body_is_bounded_by_its_rule(world: Any, start_upstream: Make, rule: Make) -> None:
    """By its declared length, before a byte of it is read."""
    upstream = start_upstream("cloud.test")
    upstream.box = world.open(rule("cloud.test", upstream.port, max_body_bytes=10))
    assert b" 200 " in send(upstream, "POST", "/", b"x" * 10)
    assert b'"body-too-large"' in send(upstream, "POST", "/", b"x" * 11)
    assert len(upstream.seen) == 1


def test_an_unreadable_form_counts_as_an_override(
    world: Any, start_upstream: Make, rule: Make
) -> None:
    """And a form too large to read is refused."""
    upstream = start_upstream("cloud.test")
    upstream.box = world.open(rule("cloud.test", upstream.port, methods=("POST",)))
    form = "Content-Type: application/x-www-form-urlencoded; charset=utf-8"
    assert b" 200 " in send(upstream, "POST", "/", b"a=1&method=x", form)
    assert b'"method-override"' in send(upstream, "POST", "/", b"a=%zz", form)
    assert b'"body-uninspectable"' in send(upstream, "POST", "/", b"a" * 1_100_000, form)
    assert len(upstream.seen) == 1


def test_a_query_does_not_reach_the_record(world: Any, start_upstream: Make, rule: Make) -> None:
    """Values in it may be private; the path stands there."""
    upstream = start_upstream("cloud.test")
    upstream.box = world.open(rule("cloud.test", upstream.port, methods=("GET",)))
    send(upstream, "GET", "/a?email=private", b"")
    assert world.events()[0].subject == f"GET https://cloud.test:{upstream.port}/a"
    assert all(b"private" not in record.canonical() for record in world.events())


CODINGS = {
    "gzip": ("Content-Encoding: gzip", gzip.compress),
    "deflate": ("Content-Encoding: deflate", zlib.compress),
    "listed": ("Content-Encoding: identity, x-gzip", gzip.compress),
    "twin": ("Content_Encoding: gzip", gzip.compress),
}


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("name", CODINGS)
def test_a_compressed_body_does_not_carry_a_placeholder_out(
    world: Any, start_upstream: Make, rule: Make, use: Make, lease: Make, *,
    placeholder: str, name: str, chunked: bool,
) -> None:  # fmt: skip
    """Refused where the step holds a lease; the same request without one shows what would leave."""
    upstream = start_upstream("cloud.test")
    line, pack = CODINGS[name]
    body = pack(placeholder.encode())
    lines = [line]
    if chunked:
        body, lines = (
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
            [line, "Transfer-Encoding: chunked"],
        )
    allowed = rule("cloud.test", upstream.port, methods=("POST",))
    upstream.box = world.open(allowed)
    assert b" 200 " in send(upstream, "POST", "/", body, *lines)
    unpacked = zlib.decompress(upstream.seen[0]["body"], wbits=47)
    assert unpacked == placeholder.encode()  # the guard-off proof: it left, and nobody saw it
    upstream.box = world.open(allowed, secrets=(use(),), leases=(lease(),))
    answer = send(upstream, "POST", "/", body, *lines)
    assert answer.startswith(b"HTTP/1.1 415")
    assert b'"body-encoded"' in answer
    assert world.denials() == ["body-encoded"]
    assert len(upstream.seen) == 1


def test_an_encoding_without_a_body_or_without_effect_is_no_offence(
    world: Any, start_upstream: Make, rule: Make, use: Make, lease: Make
) -> None:
    """Nothing could hide there."""
    upstream = start_upstream("cloud.test")
    allowed = rule("cloud.test", upstream.port, methods=("GET", "POST"))
    upstream.box = world.open(allowed, secrets=(use(),), leases=(lease(),))
    assert b" 200 " in send(upstream, "GET", "/", b"", "Content-Encoding: gzip")
    assert b" 200 " in send(upstream, "POST", "/", b"x", "Content-Encoding: Identity")
