"""A grant is what the agent's own section asks for: no more, and nothing of another agent."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest

from ringfence.chain.parse import parse
from ringfence.chain.words import Access, Chain, Merge
from ringfence.policy.grant import Grant, compile_grant

UNTIL = datetime(2026, 11, 21, 12, tzinfo=UTC)
TEXT = b"""
name: two
agents:
  - name: bare
    type: script
    run: [python3, bare.py]
    triggers: [chain:start]
    emits: [bare:done]
  - name: rich
    type: script
    run: [python3, rich.py]
    triggers: [bare:done]
    emits: [chain:complete]
    env: {MODE: fast}
    network: [{host: api.test}]
    secrets: [{name: TOKEN, host: api.test, env: API_TOKEN}]
    workspace: {type: local, directory: ws, access: read}
    merge: auto
"""


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Two agents: one asks for nothing, one for everything."""
    return parse(TEXT, file="two.yaml", variables={})


def compiled(chain: Chain, name: str) -> Grant:
    """Compile the grant of one agent."""
    return compile_grant(chain, chain.agent(name), run="r1", until=UNTIL)


def test_an_agent_that_asks_for_nothing_gets_nothing(chain: Chain) -> None:
    """What its neighbour asked for is not shared, and changes are held for a person."""
    bare = compiled(chain, "bare")
    assert (bare.network, bare.secrets, dict(bare.env), bare.workspace) == ((), (), {}, None)
    assert bare.merge is Merge.HOLD
    assert bare.emits == ("bare:done",)


def test_a_grant_names_what_was_asked_with_its_place(chain: Chain) -> None:
    """Rules and secrets come with the line that asked for them; the end is the caller's."""
    rich = compiled(chain, "rich")
    assert [(rule.host, rule.where.line) for rule in rich.network] == [("api.test", 15)]
    assert [(use.name, use.where.line) for use in rich.secrets] == [("TOKEN", 16)]
    assert rich.workspace is not None
    assert rich.workspace.access is Access.READ
    assert (rich.run, rich.agent, rich.until, rich.merge) == ("r1", "rich", UNTIL, Merge.AUTO)


def test_an_agent_of_another_chain_gets_no_grant(chain: Chain) -> None:
    """Also one that only looks alike: the same name with a wider ask."""
    wider = replace(chain.agent("bare"), network=chain.agent("rich").network)
    with pytest.raises(KeyError):
        compile_grant(chain, wider, run="r1", until=UNTIL)


def test_a_grant_cannot_be_widened_later(chain: Chain) -> None:
    """No field of it can be set."""
    grant = compiled(chain, "bare")
    for field in fields(Grant):
        with pytest.raises(AttributeError):
            setattr(grant, field.name, None)
