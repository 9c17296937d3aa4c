"""The hook socket's protocol: one JSON line asks, one JSON line answers (docs/hook-protocol.md).

Invariants:
1. What cannot be read exactly is answered with a deny that names the reason: a request with an
   unknown version, a missing, doubled or unknown member, or a wrong type.
2. What cannot be read exactly as an answer is a deny for whoever asked.
3. Both lines are bounded; neither side ever waits for more than one line.

This is the codec only. The answer is `policy`'s, and the hook is feedback for the agent: the box
and the broker are the boundary, with or without it.
"""

import json
from dataclasses import dataclass, field

from ringfence.chain.words import Json
from ringfence.checks.strict_json import NotStrictJson, read_json

VERSION = 1
MAX_REQUEST = 1024 * 1024
MAX_REPLY = 64 * 1024
MAX_DEPTH = 32
LONGEST_NAME = 128
LONGEST_PATH = 4_096
LONGEST_TEXT = 2_000

ALLOW = "allow"
DENY = "deny"
PROTOCOL_RULE = "hook-protocol"

_REQUIRED = ("v", "client", "event", "tool", "input", "cwd")


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRequest:
    """What a client's hook asks: may this tool run with this input in this directory?

    ``tool`` is empty for an event without one. ``token`` says which session asks where the socket
    alone does not; it is not shown.
    """

    client: str
    event: str
    tool: str
    input: Json
    cwd: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookReply:
    """The answer, ``allow`` or ``deny``: a hook waits for a person or is denied, never "ask"."""

    decision: str
    rule: str
    reason: str
    fix: str = ""

    @property
    def allowed(self) -> bool:
        """Say whether the tool may run."""
        return self.decision == ALLOW


def deny(reason: str, *, rule: str = PROTOCOL_RULE, fix: str = "") -> HookReply:
    """Give a refusal."""
    return HookReply(decision=DENY, rule=rule, reason=reason, fix=fix)


def encode_request(request: HookRequest) -> bytes:
    """Give the line for a request. Raises ValueError for one that `decode_request` would refuse."""
    body: dict[str, Json] = {
        "v": VERSION,
        "client": request.client,
        "event": request.event,
        "tool": request.tool,
        "input": request.input,
        "cwd": request.cwd,
    }
    if request.token is not None:
        body["token"] = request.token
    line = _line(body)
    back = decode_request(line)
    if isinstance(back, HookReply):
        raise ValueError(back.reason)  # noqa: TRY004 - the value is wrong, its type is right
    return line


def decode_request(line: bytes) -> HookRequest | HookReply:
    """Read a request; whatever is wrong with it gives the deny reply to send. Never raises."""
    try:
        body = _object(line, MAX_REQUEST)
        _members(body, required=_REQUIRED, optional=("token",))
        token = body.get("token")
        return HookRequest(
            client=_text(body, "client", LONGEST_NAME),
            event=_text(body, "event", LONGEST_NAME),
            tool=_text(body, "tool", LONGEST_NAME, empty=True),
            input=body["input"],
            cwd=_text(body, "cwd", LONGEST_PATH),
            token=None if token is None else _text(body, "token", LONGEST_NAME),
        )
    except NotStrictJson as error:
        return deny(f"the hook's request cannot be read: {error}", fix="see docs/hook-protocol.md")


def encode_reply(reply: HookReply) -> bytes:
    """Give the line for a reply; texts are cut to bounds. Raises ValueError for a bad decision."""
    if reply.decision not in (ALLOW, DENY):
        raise ValueError(f"no such decision: {reply.decision}")
    return _line(
        {
            "v": VERSION,
            "decision": reply.decision,
            "rule": reply.rule[:LONGEST_NAME],
            "reason": reply.reason[:LONGEST_TEXT],
            "fix": reply.fix[:LONGEST_TEXT],
        }
    )


def decode_reply(line: bytes) -> HookReply:
    """Read a reply; anything malformed is a deny. Never raises."""
    try:
        body = _object(line, MAX_REPLY)
        _members(body, required=("v", "decision", "rule", "reason", "fix"), optional=())
        return HookReply(
            decision=_decision(body),
            rule=_text(body, "rule", LONGEST_NAME),
            reason=_text(body, "reason", LONGEST_TEXT, empty=True),
            fix=_text(body, "fix", LONGEST_TEXT, empty=True),
        )
    except NotStrictJson as error:
        return deny(f"the answer to the hook cannot be read: {error}")


def _line(body: dict[str, Json]) -> bytes:
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _object(line: bytes, most: int) -> dict[str, Json]:
    if not line.endswith(b"\n") or line.count(b"\n") != 1:
        raise NotStrictJson("it is not one whole line")
    value = read_json(line[:-1], max_bytes=most, max_depth=MAX_DEPTH)
    if not isinstance(value, dict):
        raise NotStrictJson("it is not an object")
    version = value.get("v")
    if version != VERSION or isinstance(version, bool) or not isinstance(version, int):
        raise NotStrictJson(f"it is not of version {VERSION}")
    return value


def _members(
    body: dict[str, Json], *, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    missing = [name for name in required if name not in body]
    if missing:
        raise NotStrictJson(f"missing: {', '.join(missing)}")
    if not set(body) <= {*required, *optional}:
        raise NotStrictJson("it has a member this version does not know")


def _decision(body: dict[str, Json]) -> str:
    if body["decision"] not in (ALLOW, DENY):
        raise NotStrictJson('"decision" is not allow or deny')
    return str(body["decision"])


def _text(body: dict[str, Json], name: str, most: int, *, empty: bool = False) -> str:
    value = body[name]
    if not isinstance(value, str) or (not value and not empty):
        raise NotStrictJson(f'"{name}" is not text')
    if len(value) > most or "\0" in value:
        raise NotStrictJson(f'"{name}" is longer than {most} characters or holds NUL')
    return value
