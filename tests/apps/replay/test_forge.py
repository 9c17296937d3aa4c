import json

from ringfence.apps.replay.forge import Forge
from ringfence.apps.replay.wire import Request


def ask(method: str, target: str, *, token: str = "token t", body: bytes = b"") -> Request:
    """Give a request with an authorization header."""
    return Request(
        method=method, target=target, headers=(("authorization", token),), body=body, raw=b""
    )


def test_the_token_decides() -> None:
    """Without the right token there is nothing to read and nothing to write."""
    forge = Forge(token="t", documents={"/a": 1})
    assert forge.answer(ask("GET", "/a", token="token x")).status == 401
    assert forge.answer(ask("GET", "/a", token="Bearer t")).body == 1


def test_comments_are_kept_in_order() -> None:
    """What an agent posts can be counted and read back."""
    forge = Forge(token="t")
    for text in ("one", "two"):
        body = json.dumps({"body": text}).encode()
        assert forge.answer(ask("POST", "/issues/7/comments", body=body)).status == 201
    assert forge.comments == {"/issues/7/comments": ["one", "two"]}


def test_unknown_paths_and_bodies_are_refused() -> None:
    """The forge invents nothing."""
    forge = Forge(token="t")
    assert forge.answer(ask("GET", "/nothing")).status == 404
    assert forge.answer(ask("POST", "/x/comments", body=b"{")).status == 400
    assert forge.answer(ask("POST", "/x/comments", body=b"[]")).status == 422
