import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.agents.hook_protocol import (
    MAX_REPLY,
    MAX_REQUEST,
    HookReply,
    HookRequest,
    decode_reply,
    decode_request,
    deny,
    encode_reply,
    encode_request,
)

REQUEST: dict[str, Any] = {
    "v": 1,
    "client": "claude",
    "event": "PreToolUse",
    "tool": "Bash",
    "input": {"command": "ls"},
    "cwd": "/work",
}
REPLY: dict[str, Any] = {"v": 1, "decision": "allow", "rule": "granted", "reason": "", "fix": ""}

TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)
NAME = TEXT.filter(bool)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def line(value: object) -> bytes:
    """Write a value as one line."""
    return json.dumps(value).encode() + b"\n"


@given(
    st.builds(
        HookRequest,
        client=NAME,
        event=NAME,
        tool=TEXT,
        input=JSON,
        cwd=NAME,
        token=st.none() | NAME,
    )
)
def test_a_request_comes_back_as_it_was(made: HookRequest) -> None:
    """Encoding and decoding are inverse, in one line."""
    encoded = encode_request(made)
    assert encoded.count(b"\n") == 1
    assert decode_request(encoded) == made


@given(st.sampled_from(["allow", "deny"]), NAME, TEXT, TEXT)
def test_a_reply_comes_back_as_it_was(decision: str, rule: str, reason: str, fix: str) -> None:
    """Encoding and decoding are inverse, in one line."""
    reply = HookReply(decision=decision, rule=rule, reason=reason, fix=fix)
    encoded = encode_reply(reply)
    assert encoded.count(b"\n") == 1
    assert decode_reply(encoded) == reply


@pytest.mark.parametrize("name", sorted(REQUEST))
def test_a_request_without_a_member_is_denied(name: str) -> None:
    """Nothing is guessed."""
    reply = decode_request(line({key: REQUEST[key] for key in REQUEST if key != name}))
    assert isinstance(reply, HookReply)
    assert not reply.allowed
    assert reply.rule == "hook-protocol"
    assert reply.fix


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": "1"},
        {"v": True},
        {"v": 1.0},
        {"client": ""},
        {"client": 1},
        {"event": None},
        {"tool": ["Bash"]},
        {"tool": "x" * 129},
        {"cwd": "/a\0b"},
        {"cwd": "x" * 5_000},
        {"token": ""},
        {"token": 5},
        {"decision": "allow"},
    ],
)
def test_a_request_with_a_wrong_member_is_denied(change: dict[str, object]) -> None:
    """Wrong version, type, size or an unknown member: no."""
    reply = decode_request(line({**REQUEST, **change}))
    assert isinstance(reply, HookReply)
    assert not reply.allowed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        line(REQUEST)[:-1],
        line(REQUEST) * 2,
        line([REQUEST]),
        b'{"v":1,' + line(REQUEST)[1:],
        b" " * (MAX_REQUEST + 1) + b"\n",
        line({**REQUEST, "input": "x" * MAX_REQUEST}),
        b"[" * 5_000 + b"\n",
        b"\xff\n",
    ],
)
def test_a_line_that_is_no_request_is_denied(data: bytes) -> None:
    """Half, doubled, too long, too deep or not JSON: no."""
    reply = decode_request(data)
    assert isinstance(reply, HookReply)
    assert not reply.allowed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"allow\n",
        line(REPLY)[:-1],
        line({**REPLY, "decision": "ALLOW"}),
        line({**REPLY, "decision": "ask"}),
        line({**REPLY, "decision": True}),
        line({**REPLY, "decision": ["allow"]}),
        line({**REPLY, "v": 2}),
        line({**REPLY, "rule": ""}),
        line({**REPLY, "more": 1}),
        line({key: REPLY[key] for key in REPLY if key != "rule"}),
        b'{"decision":"deny",' + line(REPLY)[1:],
        b" " * (MAX_REPLY + 1) + b"\n",
    ],
)
def test_an_answer_that_is_not_exactly_allow_is_a_deny(data: bytes) -> None:
    """A hook client that misreads its answer blocks the tool."""
    assert not decode_reply(data).allowed


@given(st.binary(max_size=200))
def test_no_bytes_raise_or_are_allowed_by_accident(data: bytes) -> None:
    """Both directions are total."""
    decode_request(data)
    decode_request(data + b"\n")
    assert not decode_reply(data).allowed
    assert not decode_reply(data + b"\n").allowed


def test_long_texts_of_a_reply_are_cut() -> None:
    """A reply always fits its bound, whatever policy wrote."""
    reply = decode_reply(encode_reply(deny("r" * 9_000, rule="x" * 500, fix="f" * 9_000)))
    assert reply.reason == "r" * 2_000
    assert len(encode_reply(deny("\x01" * 9_000, fix="\x01" * 9_000))) < MAX_REPLY


def test_what_the_other_side_would_refuse_is_not_sent() -> None:
    """A mistake of ours shows where it is made."""
    with pytest.raises(ValueError, match="client"):
        encode_request(HookRequest(client="", event="e", tool="", input={}, cwd="/"))
    with pytest.raises(ValueError, match="no such decision"):
        encode_reply(HookReply(decision="ask", rule="r", reason=""))


def test_a_token_is_not_shown() -> None:
    """It stands for a session."""
    shown = repr(HookRequest(client="c", event="e", tool="", input={}, cwd="/", token="t0ken"))
    assert "t0ken" not in shown
