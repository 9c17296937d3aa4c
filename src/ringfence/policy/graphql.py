"""Which root fields a GraphQL request would run, or an error: there is no third answer.

Invariants:
1. Every operation of a document counts, named or not chosen: the server may run another one.
2. Names are those of the schema, never aliases; fragments are followed.
3. A request that names its query by hash or id, hides it in an encoding, or says it twice is an
   error, which ``policy`` turns into a denial.

It does not know the schema: whether a root field is harmless with these arguments is not decided
here. The grammar is parsed by graphql-core.
"""

import json
from collections.abc import Iterator, Mapping

from graphql.error import GraphQLError
from graphql.language import parse
from graphql.language.ast import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from ringfence.chain.words import Json
from ringfence.policy.egress import parameters

_MAX_TOKENS = 10_000
_MAX_BATCH = 50
_FIELDS = frozenset({"query", "operationName", "variables", "extensions"})


def operations(
    method: str, query: str, body: bytes, *, content_type: str, content_encoding: str = ""
) -> tuple[str, ...]:
    """Give the root field names of every operation in a GraphQL request, in order.

    ``query`` is the raw query string of the URL. Raises ValueError when any of it cannot be read
    for certain.
    """
    if content_encoding.strip().lower() not in {"", "identity"}:
        raise ValueError("the body is encoded")
    documents = (
        _from_url(query, body) if method == "GET" else _from_body(method, query, body, content_type)
    )
    names = [name for document in documents for name in _roots(document)]
    return tuple(names)


def _from_url(query: str, body: bytes) -> list[str]:
    """Read the GET form: one ``query`` parameter and no body."""
    if body:
        raise ValueError("a GET request has a body")
    pairs = parameters(query)
    fields: dict[str, Json] = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a parameter is given twice")
    return [_document(fields)]


def _from_body(method: str, query: str, body: bytes, content_type: str) -> list[str]:
    """Read the POST form: JSON, one request or a batch, and no URL parameters."""
    if method != "POST" or query:
        raise ValueError("GraphQL is sent by POST without URL parameters, or by GET")
    kind, *options = [part.strip().lower() for part in content_type.split(";")]
    if kind != "application/json" or any(o not in {"charset=utf-8", ""} for o in options):
        raise ValueError("the body is not UTF-8 JSON")
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    batch = value if isinstance(value, list) else [value]
    if not 1 <= len(batch) <= _MAX_BATCH:
        raise ValueError("a batch has 1 to 50 requests")
    return [_document(item) for item in batch]


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a JSON name is given twice")
    return fields


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _document(fields: Json) -> str:
    """Give the query text of one request; a hash or id in its place is refused."""
    if not isinstance(fields, Mapping):
        raise ValueError("a GraphQL request is an object")  # noqa: TRY004 - callers catch one kind
    text = fields.get("query")
    if not isinstance(text, str) or not set(fields) <= _FIELDS:
        raise ValueError("a GraphQL request has a query and no unknown field")
    if fields.get("extensions") not in (None, {}, "", "{}"):
        raise ValueError("extensions may name another query")
    return text


def _roots(text: str) -> Iterator[str]:
    """Parse one document and walk the root selection of each of its operations."""
    try:
        document: DocumentNode = parse(text, no_location=True, max_tokens=_MAX_TOKENS)
    except (GraphQLError, RecursionError):
        raise ValueError("the query cannot be parsed") from None
    fragments: dict[str, FragmentDefinitionNode] = {}
    chosen: list[OperationDefinitionNode] = []
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            chosen.append(definition)
        elif isinstance(definition, FragmentDefinitionNode):
            if definition.name.value in fragments:
                raise ValueError("a fragment is defined twice")
            fragments[definition.name.value] = definition
        else:
            raise ValueError(  # noqa: TRY004 - callers catch one kind
                "the document defines something other than operations"
            )
    if not chosen:
        raise ValueError("the document has no operation")
    for operation in chosen:
        yield from _fields(operation.selection_set, fragments)


def _fields(
    root: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[str]:
    """Give the field names of one root selection; each fragment is followed once.

    Once is enough for the set of names, and keeps nested fragments from doubling at every level.
    """
    todo = [root]
    followed: set[str] = set()
    while todo:
        selection = todo.pop()
        if not selection.selections:
            raise ValueError("a selection is empty")
        for node in selection.selections:
            match node:
                case FieldNode():
                    yield node.name.value
                case InlineFragmentNode():
                    todo.append(node.selection_set)
                case FragmentSpreadNode():
                    name = node.name.value
                    if name not in fragments:
                        raise ValueError("a fragment is missing")
                    if name not in followed:
                        followed.add(name)
                        todo.append(fragments[name].selection_set)
                case _:  # pragma: no cover - the grammar has these three
                    raise ValueError("a selection of an unknown kind")
