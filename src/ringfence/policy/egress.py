"""Egress rules against one request: default deny, and deny over hold over allow.

Invariants:
1. No rule that covers a request: denied as ``no-rule``, with the smallest rule that would do.
2. Adding a deny or hold rule never allows more. Their paths match loosely (letter case, trailing
   slash and ``;parameters`` ignored), allow paths exactly.
3. Paths are percent-decoded once and matched decoded. A path that servers read in more than one
   way (dot segments, empty segments, encoded slash, double encoding) is refused, not matched.
4. A rule that looks inside a request is never satisfied by a bare tunnel: `must_inspect`.
5. A request with a second method (override header or parameter) is refused.

In a path pattern ``*`` stands for any characters of one segment and ``**``, as a whole segment,
for any number of segments. ``max_body_bytes`` bounds allow rules only; a deny or hold rule covers
bodies of every size.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ringfence.chain.words import Action, NetworkRule
from ringfence.policy.decision import Decision
from ringfence.policy.effect import NetEffect
from ringfence.policy.grant import Grant
from ringfence.policy.hosts import Host, match_host, parse_host, refuse_address

# Paths and queries that mean the same to every reader, which most do: `parse_path` says what else.
_PLAIN = re.compile(
    r"(/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*+/)*+(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*+)?+)"
    r"(?:\?([!-\"$-~]*+))?+"
)
_HEX = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_DECODED = frozenset(b"/\\%\x7f") | frozenset(range(0x20))
_METHOD = re.compile(r"[A-Z][A-Z-]{0,30}\Z")
_OVERRIDE_HEADERS = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})
_OVERRIDE_PARAMETER = "_method"


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A request path: decoded segments, and the raw query without its question mark."""

    segments: tuple[str, ...]
    query: str


def percent_decode(raw: str, *, plus: bool = False) -> str:
    """Decode ``%XX`` once. Raises ValueError for a stray percent sign or invalid UTF-8."""
    data = raw.encode("latin-1")
    if plus:
        data = data.replace(b"+", b" ")
    if len(_HEX.findall(data)) != data.count(b"%"):
        raise ValueError("a percent sign starts two hexadecimal digits")
    return _HEX.sub(lambda m: bytes([int(m[1], 16)]), data).decode("utf-8")


@lru_cache(maxsize=64)  # one request is looked at several times
def parse_path(target: str) -> Path:
    """Read an origin-form target. Raises ValueError for what servers read in different ways."""
    if (plain := _PLAIN.fullmatch(target)) is not None:
        return Path(segments=tuple(plain[1][1:].split("/")), query=plain[2] or "")
    raw, _, query = target.partition("?")
    if not raw.startswith("/") or "#" in target or "\\" in raw:
        raise ValueError("a path starts with a slash and has no backslash or fragment")
    if not all("!" <= c <= "~" for c in target):
        raise ValueError("a path is written in visible ASCII")
    segments = []
    pieces = raw[1:].split("/")
    for number, piece in enumerate(pieces, 1):
        segment = _segment(piece)
        if not segment and number != len(pieces):
            raise ValueError("a path has no empty segment")
        segments.append(segment)
    return Path(segments=tuple(segments), query=query)


def _segment(piece: str) -> str:
    """Decode one segment; refuse what hides a separator or climbs."""
    for match in _HEX.finditer(piece.encode("latin-1")):
        if int(match[1], 16) in _BAD_DECODED:
            raise ValueError("a path hides no separator, control or percent sign")
    segment = percent_decode(piece)
    if segment.partition(";")[0].strip() in {".", ".."}:
        raise ValueError("a path has no dot segment")
    return segment


def parameters(query: str) -> tuple[tuple[str, str], ...]:
    """Read ``name=value`` pairs, ``&`` and ``;`` both separating. Raises ValueError if malformed.

    The semicolon counts because some servers still split at it; reading more is the safe side.
    """
    if not query:
        return ()
    pairs = []
    for part in re.split("[&;]", query):
        if part:
            name, _, value = part.partition("=")
            pairs.append((percent_decode(name, plus=True), percent_decode(value, plus=True)))
    return tuple(pairs)


def overrides_method(headers: Iterable[str], pairs: Iterable[tuple[str, str]]) -> bool:
    """Say whether header names or parameters ask the server for another method."""
    for name in headers:
        plain = name.lower()
        if "method" in plain and plain.replace("_", "-") in _OVERRIDE_HEADERS:
            return True
    return any(_is_override(name) for name, _ in pairs)


def _is_override(name: str) -> bool:
    """Read a parameter name as PHP does: spaces and dots are underscores, ``[`` starts an index."""
    plain = name.strip().lower().replace(".", "_").replace(" ", "_").partition("[")[0]
    return plain == _OVERRIDE_PARAMETER


def match_path(pattern: str, segments: Sequence[str]) -> bool:
    """Say whether a path pattern covers decoded segments; time is bounded by their product."""
    wanted = _globs(pattern)
    at = 0
    for glob in wanted:
        if glob == "**":
            break
        if at >= len(segments) or not _match_one(glob, segments[at]):
            return False
        at += 1
    else:
        return at == len(segments)
    reach = {at}
    for glob in wanted[at:]:
        if glob == "**":
            reach = set(range(min(reach), len(segments) + 1))
        else:
            reach = {i + 1 for i in reach if i < len(segments) and _match_one(glob, segments[i])}
        if not reach:
            return False
    return len(segments) in reach


@lru_cache(maxsize=1024)
def _globs(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.removeprefix("/").split("/"))


def _match_one(glob: str, text: str) -> bool:
    """Match ``*`` inside one segment without backtracking over more than the last star."""
    if "*" not in glob:
        return glob == text
    first, *rest = glob.split("*")
    last = rest.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    if not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in rest:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A decision with the rule that made it, when one did."""

    decision: Decision
    rule: NetworkRule | None = None


def decide_net(effect: NetEffect, rules: Sequence[NetworkRule]) -> Decision:
    """Decide one request. Raises ValueError for a malformed rule, which the door turns to deny."""
    return match_net(effect, rules).decision


def match_net(effect: NetEffect, rules: Sequence[NetworkRule]) -> Match:
    """Decide one request and name the rule.

    1. host, 2. path, method and override, 3. deny, 4. hold, 5. allow with body, 6. addresses.
    Raises ValueError for a malformed rule.
    """
    try:
        host = parse_host(f"[{effect.host}]" if ":" in effect.host else effect.host)  # 1
    except ValueError as error:
        return _deny("host-malformed", str(error))
    if host.name != effect.host:
        return _deny("host-malformed", "the host is not in normal form")
    path: Path | None = None
    if effect.method is not None:  # 2
        refused, path = _request(effect)
        if refused is not None:
            return refused
    near = [rule for rule in rules if _covers_host(rule, effect, host)]
    for action in (Action.DENY, Action.HOLD):  # 3, 4
        for rule in near:
            if rule.action is action and _blocks(rule, effect, path):
                return _blocked(rule)
    return _allowed(effect, path, near)  # 5, 6


def _deny(rule: str, reason: str, *, by: NetworkRule | None = None, fix: str = "") -> Match:
    where = by.where if by is not None else None
    return Match(decision=Decision.deny(rule, reason, where=where, fix=fix), rule=by)


def _request(effect: NetEffect) -> tuple[Match | None, Path | None]:
    """Check what can be said about a request without any rule."""
    if effect.method is None or not _METHOD.match(effect.method):
        return _deny("method-refused", "a method is written in capital letters"), None
    if effect.method in {"TRACE", "TRACK", "CONNECT"}:
        return _deny("method-refused", f"{effect.method} is never forwarded"), None
    try:
        path = parse_path(effect.path or "")
        pairs = parameters(path.query)
    except ValueError as error:
        return _deny("path-refused", str(error)), None
    if effect.method_override or any(_is_override(name) for name, _ in pairs):
        return _deny("method-override", "the request names a second method"), None
    return None, path


def _covers_host(rule: NetworkRule, effect: NetEffect, host: Host) -> bool:
    return rule.port == effect.port and rule.scheme == effect.scheme and match_host(rule.host, host)


def _narrow(rule: NetworkRule) -> bool:
    """Say whether a rule asks about more than host, port and scheme."""
    return bool(
        rule.methods or rule.paths or rule.graphql_operations or rule.max_body_bytes is not None
    )


def _blocks(rule: NetworkRule, effect: NetEffect, path: Path | None) -> bool:
    """Say whether a deny or hold rule covers this; what it cannot see, it covers."""
    if path is None:
        return rule.action is Action.DENY and not (
            rule.methods or rule.paths or rule.graphql_operations
        )
    if rule.methods and effect.method not in {m.upper() for m in rule.methods}:
        return False
    if rule.paths and not any(_match_loosely(p, path.segments) for p in rule.paths):
        return False
    if rule.graphql_operations and effect.operations is not None:
        return any(name in rule.graphql_operations for name in effect.operations)
    return True


def _match_loosely(pattern: str, segments: Sequence[str]) -> bool:
    """Match as a careless server might: no letter case, parameters or trailing slash."""
    plain = [segment.partition(";")[0].casefold() for segment in segments]
    if len(plain) > 1 and not plain[-1]:
        plain.pop()
    folded = pattern.casefold()
    return (
        match_path(pattern, segments)
        or match_path(folded, plain)
        or match_path(folded.removesuffix("/"), plain)
    )


def _blocked(rule: NetworkRule) -> Match:
    if rule.action is Action.DENY:
        return _deny("network-deny", "a deny rule covers this request", by=rule)
    decision = Decision.ask("network-hold", "a person has to allow this request", where=rule.where)
    return Match(decision=decision, rule=rule)


def _allowed(effect: NetEffect, path: Path | None, near: Sequence[NetworkRule]) -> Match:
    """Find the allow rule that covers everything, else the nearest miss."""
    covering = [rule for rule in near if rule.action is Action.ALLOW and _asks(rule, effect, path)]
    if not covering:
        return _deny("no-rule", "no network rule covers this request", fix=_fix(effect, path))
    misses = []
    for rule in covering:
        refused = _body(rule, effect) or _addresses(rule, effect)
        if refused is None:
            reason = "a network rule covers this request"
            decision = Decision.allow("network-allow", reason, where=rule.where)
            return Match(decision=decision, rule=rule)
        misses.append(refused)
    return misses[0]


def _asks(rule: NetworkRule, effect: NetEffect, path: Path | None) -> bool:
    if path is None:
        return True
    if rule.methods and effect.method not in rule.methods:
        return False
    return not rule.paths or any(match_path(p, path.segments) for p in rule.paths)


def _body(rule: NetworkRule, effect: NetEffect) -> Match | None:
    """Check what a rule says about the body."""
    if effect.method is None:
        return None
    limit = rule.max_body_bytes
    if limit is not None and effect.body_bytes > limit:
        reason = f"the body is larger than {limit} bytes"
        return _deny("body-too-large", reason, by=rule, fix="raise maxBodyBytes of the rule")
    if rule.graphql_operations:
        if not effect.operations:
            return _deny("graphql-unreadable", "the GraphQL operations cannot be read", by=rule)
        extra = [name for name in effect.operations if name not in rule.graphql_operations]
        if extra:
            fix = f"add {json.dumps(extra[0])} to the rule's GraphQL operations"
            return _deny("graphql-operation", "a GraphQL operation is not listed", by=rule, fix=fix)
    return None


def _addresses(rule: NetworkRule, effect: NetEffect) -> Match | None:
    """Check every resolved answer, not only the one that would be dialled."""
    for address in effect.addresses:
        own = address in effect.own_addresses
        refused = refuse_address(address, rule.allow_private, own=own)
        if refused is not None:
            fix = "" if refused == "metadata" else "name the network in the rule's allowPrivate"
            return _deny("address-refused", f"the address is {refused}", by=rule, fix=fix)
    return None


def _fix(effect: NetEffect, path: Path | None) -> str:
    """Give the smallest rule that would have covered the request, as one line of YAML."""
    parts = [f"host: {json.dumps(effect.host)}"]
    if (effect.scheme, effect.port) != ("https", 443):
        parts += [f"port: {effect.port}", f"scheme: {json.dumps(effect.scheme)}"]
    if path is not None:
        text = "/" + "/".join(path.segments)
        if "*" not in text:
            parts += [f"methods: [{effect.method}]", f"paths: [{json.dumps(text)}]"]
    return "- {" + ", ".join(parts) + "}"


def must_inspect(host: str, port: int, grant: Grant) -> bool:
    """Say whether requests to this host have to be read, so that a blind tunnel would not do.

    True when a rule or a secret of the grant speaks about more than the host. Raises ValueError
    for a malformed host or rule.
    """
    known = parse_host(f"[{host}]" if ":" in host else host)
    if any(parse_host(use.host) == known for use in grant.secrets):
        return True
    return any(
        _narrow(rule) or rule.action is Action.HOLD
        for rule in grant.network
        if rule.port == port and rule.scheme == "https" and match_host(rule.host, known)
    )


def wants_operations(effect: NetEffect, rules: Sequence[NetworkRule]) -> bool:
    """Say whether a rule that may cover this request needs the GraphQL operations of its body.

    Raises ValueError for a malformed path, host or rule.
    """
    if not any(rule.graphql_operations for rule in rules):
        return False
    host = parse_host(f"[{effect.host}]" if ":" in effect.host else effect.host)
    path = parse_path(effect.path or "")
    return any(
        rule.graphql_operations
        and (_asks(rule, effect, path) or _match_any_loosely(rule.paths, path))
        for rule in rules
        if _covers_host(rule, effect, host)
    )


def _match_any_loosely(patterns: Sequence[str], path: Path) -> bool:
    return any(_match_loosely(pattern, path.segments) for pattern in patterns)


def body_limit(effect: NetEffect, rules: Sequence[NetworkRule]) -> int | None:
    """Give the most bytes a body of yet unknown length may have, or None for no bound.

    Raises ValueError for a malformed path, host or rule.
    """
    host = parse_host(f"[{effect.host}]" if ":" in effect.host else effect.host)
    path = parse_path(effect.path or "")
    limits = [
        rule.max_body_bytes
        for rule in rules
        if rule.action is Action.ALLOW
        and _covers_host(rule, effect, host)
        and _asks(rule, effect, path)
    ]
    known = [limit for limit in limits if limit is not None]
    if not limits:
        return 0
    return max(known) if len(known) == len(limits) else None
