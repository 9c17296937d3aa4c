"""A git forge as a replay needs it: issues and pull requests to read, comments to write.

It checks its token as a real one does, and it believes whoever holds it. ``/wait`` answers only
when the test says so, which gives a scenario a moment it can rely on.
"""

import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ringfence.apps.replay.wire import Reply, Request
from ringfence.chain.words import Json


@dataclass(slots=True, kw_only=True)
class Forge:
    """The state of forge.test: documents by path, and the comments people and agents left."""

    token: str
    documents: dict[str, Json] = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)

    def answer(self, request: Request) -> Reply:
        """Answer one request as the API would."""
        scheme, _, token = request.header("authorization").partition(" ")
        if scheme.lower() not in {"token", "bearer"} or token != self.token:
            return Reply(status=401, body={"message": "Bad credentials"})
        path = urlsplit(request.target).path
        if request.method == "GET" and path in self.documents:
            return Reply(body=self.documents[path])
        if request.method == "POST" and path.endswith("/comments"):
            return self._comment(path, request)
        return Reply(status=404, body={"message": "Not Found"})

    def _comment(self, path: str, request: Request) -> Reply:
        try:
            body = json.loads(request.content())
        except ValueError:
            return Reply(status=400, body={"message": "Problems parsing JSON"})
        if not isinstance(body, dict):
            return Reply(status=422, body={"message": "Validation Failed"})
        self.comments.setdefault(path, []).append(str(body.get("body", "")))
        return Reply(status=201, body={"id": len(self.comments[path])})
