import json

import pytest

from ringfence.apps.replay.cloud import PERSISTED, Cloud
from ringfence.apps.replay.wire import Request

DELETE = 'mutation { volumeDelete(id: "v") }'


def cloud() -> Cloud:
    """Give a cloud with one volume and one token."""
    return Cloud(tokens=frozenset({"t"}), volumes={"v"})


def ask(
    body: object = None, *, method: str = "POST", target: str = "/graphql", token: str = "t",
    override: str = "",
) -> Request:  # fmt: skip
    """Give a request as a client would send it."""
    headers = [("authorization", f"Bearer {token}")]
    if override:
        headers.append(("x-http-method-override", override))
    data = b"" if body is None else json.dumps(body).encode()
    return Request(method=method, target=target, headers=tuple(headers), body=data, raw=b"")


SHAPES = {
    "plain": ask({"query": DELETE}),
    "alias": ask({"query": 'mutation { domainList: volumeDelete(id: "v") }'}),
    "batch": ask([{"query": "{ domainList }"}, {"query": DELETE}]),
    "get": ask(method="GET", target="/graphql?query=mutation%7BvolumeDelete(id%3A%22v%22)%7D"),
    "persisted": ask(
        {
            "extensions": {"persistedQuery": {"sha256Hash": next(iter(PERSISTED))}},
            "variables": {"id": "v"},
        }
    ),
    "override": ask({"query": "{ domainList }"}, target="/graphql?volume=v", override="DELETE"),
    "path": ask(method="DELETE", target="/v2/volumes/v"),
    "second of two": ask(
        {
            "query": 'mutation a { domainUpdate(name: "d", target: "x") } mutation b '
            '{ volumeDelete(id: "v") }',
            "operationName": "b",
        }
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_the_call_really_deletes(shape: str) -> None:
    """The guard-off proof of S14 rests on a server that does what it is asked."""
    served = cloud()
    assert served.answer(SHAPES[shape]).status == 200
    assert served.volumes == set()


def test_only_the_named_operation_runs() -> None:
    """With two operations in a document the one that is not named does nothing."""
    served = cloud()
    served.answer(SHAPES["second of two"])
    assert served.domains == {}


def test_without_a_token_nothing_happens() -> None:
    """The token is what the attack needs."""
    served = cloud()
    assert served.answer(ask({"query": DELETE}, token="x")).status == 401
    assert served.volumes == {"v"}


def test_updates_are_counted() -> None:
    """An honest change that is made twice can be told from one made once."""
    served = cloud()
    for _ in range(2):
        served.answer(ask({"query": 'mutation { domainUpdate(name: "d", target: "1") }'}))
    assert (served.domains, served.updates) == ({"d": "1"}, {"d": 2})
    answer = served.answer(ask({"query": "{ domainList }"}))
    assert answer.body == [{"data": {"domainList": ["d 1"]}}]


def test_bodies_that_are_no_operation_are_answered_as_errors() -> None:
    """Rubbish is refused without harm."""
    served = cloud()
    assert served.answer(ask(target="/other")).status == 404
    rubbish = Request(
        method="POST",
        target="/graphql",
        headers=(("authorization", "Bearer t"),),
        body=b"{",
        raw=b"",
    )
    assert served.answer(rubbish).status == 400
    assert served.answer(ask([1])).body == [{"errors": ["not an operation"]}]
