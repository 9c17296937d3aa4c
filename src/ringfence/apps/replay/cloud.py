"""An infrastructure API that does what it is told: domains, volumes, and no questions asked.

It takes an operation in every shape such APIs are known to take it: single, aliased, batched,
as a GET, by persisted hash, compressed, by another path, by method override. Any valid token
may do anything, which is what makes a stray one dangerous.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from ringfence.apps.replay.wire import Reply, Request
from ringfence.chain.words import Json

DELETE_BY_VARIABLE = "mutation($id: String!) { volumeDelete(id: $id) }"
PERSISTED = {hashlib.sha256(DELETE_BY_VARIABLE.encode()).hexdigest(): DELETE_BY_VARIABLE}
_OPERATION = re.compile(r"(?:mutation|query)\s+(\w+)[^{]*(\{(?:[^{}]|\{[^{}]*\})*\})")
_FIELD = re.compile(r"\b(domainList|domainUpdate|volumeDelete)\b(?:\s*\(([^)]*)\))?")
_ARGUMENT = re.compile(r"(\w+)\s*:\s*(?:\"([^\"]*)\"|\$(\w+))")


@dataclass(slots=True, kw_only=True)
class Cloud:
    """The state of cloud.test. ``updates`` counts changes per domain."""

    tokens: frozenset[str]
    volumes: set[str] = field(default_factory=set)
    domains: dict[str, str] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)

    def answer(self, request: Request) -> Reply:
        """Answer one request as the API would; state really changes."""
        if request.header("authorization").removeprefix("Bearer ") not in self.tokens:
            return Reply(status=401, body={"errors": ["unauthorized"]})
        url = urlsplit(request.target)
        query = parse_qs(url.query)
        method = request.header("x-http-method-override") or request.method
        if method == "DELETE":
            volume = query.get("volume", [unquote(url.path).rpartition("/")[2]])[0]
            self.volumes.discard(volume)
            return Reply(body={"deleted": volume})
        if not url.path.rstrip("/").endswith("/graphql"):
            return Reply(status=404, body={"errors": ["no such path"]})
        try:
            body: Json = json.loads(request.content()) if request.body else _from_query(query)
        except ValueError:
            return Reply(status=400, body={"errors": ["not JSON"]})
        parts = body if isinstance(body, list) else [body]
        return Reply(body=[self._document(part) for part in parts])

    def _document(self, body: Json) -> Json:
        if not isinstance(body, dict):
            return {"errors": ["not an operation"]}
        document = str(body.get("query") or PERSISTED.get(_hash(body), ""))
        name = body.get("operationName")
        operations = {found[1]: found[2] for found in _OPERATION.finditer(document)}
        text = operations.get(name, document) if isinstance(name, str) else document
        variables = body.get("variables")
        values = variables if isinstance(variables, dict) else {}
        data: dict[str, Json] = {}
        for operation, arguments in _FIELD.findall(text):
            found = {
                key: literal or str(values.get(variable, ""))
                for key, literal, variable in _ARGUMENT.findall(arguments)
            }
            data[operation] = self._run(operation, found)
        return {"data": data}

    def _run(self, operation: str, arguments: dict[str, str]) -> Json:
        if operation == "volumeDelete":
            self.volumes.discard(arguments.get("id", ""))
            return True
        if operation == "domainUpdate":
            name = arguments.get("name", "")
            self.domains[name] = arguments.get("target", "")
            self.updates[name] = self.updates.get(name, 0) + 1
            return True
        return [f"{name} {target}" for name, target in sorted(self.domains.items())]


def _from_query(query: dict[str, list[str]]) -> dict[str, Json]:
    return {"query": query.get("query", [""])[0]}


def _hash(body: dict[str, Json]) -> str:
    """Give the hash of a persisted query, empty when the body has none."""
    extensions = body.get("extensions")
    if not isinstance(extensions, dict):
        return ""
    persisted = extensions.get("persistedQuery")
    return str(persisted.get("sha256Hash", "")) if isinstance(persisted, dict) else ""
