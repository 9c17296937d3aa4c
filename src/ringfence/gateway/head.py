"""HTTP/1.1 heads: read strictly from bytes, written anew from what was read.

Invariants:
1. A head that two servers could frame or route differently is refused: both body lengths, two
   lengths or hosts, folded lines, bare CR or LF, NUL, space before the colon, a method that is no
   token, an authority that differs from Host (RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.3, 11.2).
2. What is sent on is built from the parsed form; no byte of a head is forwarded as it came.
3. Anything accepted here, h11 accepts with the same meaning (tested).

It knows no policy and reads no body.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from ringfence.policy.hosts import Host, split_authority

Headers = tuple[tuple[str, str], ...]
Table = Mapping[str, Sequence[str]]  # the values of each header, by its lower-case name

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
# All fields of a head at once. Possessive: a head that does not match is given up in one pass.
_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n\Z")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]++):([\t\x20-\x7e\x80-\xff]*+)\r\n")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
_TARGET = re.compile(rb"[\x21-\x7e]+\Z")
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\Z")
# CGI-like servers read "_" as "-": such a twin of a framing header would be a second opinion.
_TWINS = frozenset({"content-length", "transfer-encoding", "host"})
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate",
    "proxy-authentication-info", "te", "trailer", "transfer-encoding", "upgrade", "expect",
    "content-length", "host", "alt-svc", "http2-settings",
})  # fmt: skip

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Form(StrEnum):
    """The three request target forms that a proxy is sent."""

    ORIGIN = "origin"
    ABSOLUTE = "absolute"
    AUTHORITY = "authority"


class Delimiter(StrEnum):
    """How the end of a body is known."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """The extent of a body; ``length`` counts only for `Delimiter.LENGTH`."""

    by: Delimiter
    length: int = 0


NO_BODY = Framing(by=Delimiter.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """A request head. ``host`` is what it is for; ``port`` 0 means the scheme's default.

    ``scheme`` is empty unless the target says it.
    """

    method: str
    form: Form
    scheme: str
    path: str
    host: Host | None
    port: int
    minor: int
    headers: Headers
    table: Table
    framing: Framing
    keep_alive: bool

    def first(self, name: str) -> str:
        """Give the first value of a header (lower-case name), or nothing."""
        return self.table[name][0] if name in self.table else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHead:
    """A reply head; the server's reason phrase is dropped."""

    status: int
    minor: int
    headers: Headers
    table: Table
    framing: Framing
    keep_alive: bool


def first(headers: Headers, name: str) -> str:
    """Give the first value of a header (lower-case name), or nothing."""
    return next((value for key, value in headers if key == name), "")


def parse_request(block: bytes, *, header_count: int, target_bytes: int) -> RequestHead:
    """Read one request head, up to and with its empty line. Raises ValueError to refuse it."""
    line, headers = _split(block, header_count)
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise ValueError("the request line is not METHOD SP target SP HTTP/1.x")
    raw_method, raw_target, version = parts
    minor = version[-1] - ord("0")
    if not _TOKEN.match(raw_method):
        raise ValueError("the method is not a token")
    if not _TARGET.match(raw_target) or len(raw_target) > target_bytes:
        raise ValueError("the request target is too long or not visible ASCII")
    method, target = raw_method.decode("ascii"), raw_target.decode("ascii")
    form, authority, path = _target(method, target)
    table = _table(headers)
    host, port = _host(table, authority, form, minor)
    framing = _request_framing(table, minor)
    return RequestHead(
        method=method,
        form=form,
        scheme=authority.partition("://")[0] if form is Form.ABSOLUTE and authority else "",
        path=path,
        host=host,
        port=port,
        minor=minor,
        headers=headers,
        table=table,
        framing=framing,
        keep_alive=_keep_alive(table, minor),
    )


def parse_reply(block: bytes, *, method: str, header_count: int) -> ReplyHead:
    """Read one reply head to a request of that method. Raises ValueError to refuse it."""
    line, headers = _split(block, header_count)
    match = _STATUS_LINE.match(line)
    if not match:
        raise ValueError("the status line is malformed")
    minor, status = int(match[1]), int(match[2])
    table = _table(headers)
    coded, length = _body_headers(table, minor)
    if status < 200 or status in (204, 304) or method == "HEAD":
        framing = NO_BODY
    elif coded:
        framing = Framing(by=Delimiter.CHUNKED)
    elif length is not None:
        framing = Framing(by=Delimiter.LENGTH, length=length)
    else:
        framing = Framing(by=Delimiter.CLOSE)
    return ReplyHead(
        status=status,
        minor=minor,
        headers=headers,
        table=table,
        framing=framing,
        keep_alive=_keep_alive(table, minor) and framing.by is not Delimiter.CLOSE,
    )


def _split(block: bytes, header_count: int) -> tuple[bytes, Headers]:
    """Cut a head into its first line and its header fields."""
    if not block.endswith(b"\r\n\r\n"):
        raise ValueError("the head does not end with an empty line")
    line, _, rest = block.partition(b"\r\n")
    if b"\r" in line or b"\n" in line or b"\0" in line:
        raise ValueError("the first line has a bare line break or NUL")
    text = rest.decode("latin-1")
    # A folded line starts with white space, so its "name" is no token.
    if not _FIELDS.match(text):
        raise ValueError("a header field is malformed")
    fields = _FIELD.findall(text)
    if len(fields) > header_count:
        raise ValueError("too many header fields")
    return line, tuple([(_name(name), value.strip(" \t")) for name, value in fields])


def _name(raw: str) -> str:
    """Give the lower-case form of a token. Raises ValueError for one that servers mistake."""
    name = raw.lower()
    if "_" in name and name.replace("_", "-") in _TWINS:
        raise ValueError("a header name imitates a framing header")
    return name


def _table(headers: Headers) -> dict[str, list[str]]:
    """Index headers by name."""
    table: dict[str, list[str]] = {}
    for name, value in headers:
        table.setdefault(name, []).append(value)
    return table


def parse_field(line: bytes) -> tuple[str, str]:
    """Read one header or trailer field. Raises ValueError to refuse it."""
    raw_name, colon, raw_value = line.partition(b":")
    value = raw_value.strip(b" \t")
    if not colon or not _TOKEN.match(raw_name) or not _VALUE.match(value):
        raise ValueError("a header field is malformed")
    return _name(raw_name.decode("ascii")), value.decode("latin-1")


def is_field_value(value: bytes) -> bool:
    """Say whether bytes can stand as a header value without changing the head around them."""
    return bool(_VALUE.match(value)) and value == value.strip(b" \t")


def _target(method: str, target: str) -> tuple[Form, str | None, str]:
    """Tell the form of a target; give its authority and path."""
    if method == "CONNECT":
        return Form.AUTHORITY, target, ""
    if target.startswith("/"):
        return Form.ORIGIN, None, target
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        raise ValueError("the request target is neither a path nor an http URL")
    cut = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if not path.startswith("/"):
        path = f"/{path}"
    return Form.ABSOLUTE, f"{scheme.lower()}://{authority}", path


def _host(table: Table, authority: str | None, form: Form, minor: int) -> tuple[Host | None, int]:
    """Read Host and the target's authority; both have to say the same."""
    values = table.get("host", ())
    if len(values) > 1:
        raise ValueError("Host is given twice")
    if not values and not (minor == 0 and form is Form.AUTHORITY):
        raise ValueError("Host is missing")
    said = split_authority(values[0], default_port=0) if values else None
    if authority is None:
        return said if said is not None else (None, 0)
    if form is Form.AUTHORITY:
        asked = split_authority(authority, default_port=None)
        # Clients write CONNECT's Host with or without the port (RFC 9112 section 3.2.3).
        if said is not None and said not in {asked, (asked[0], 0)}:
            raise ValueError("the target's authority differs from Host")
        return asked
    scheme, _, bare = authority.partition("://")
    default = 443 if scheme == "https" else 80
    host, port = split_authority(bare, default_port=default)
    if said is None or (said[0], said[1] or default) != (host, port):
        raise ValueError("the target's authority differs from Host")
    return host, port


def _body_headers(table: Table, minor: int) -> tuple[bool, int | None]:
    """Read Transfer-Encoding and Content-Length; never both, never twice."""
    codings = table.get("transfer-encoding", ())
    lengths = table.get("content-length", ())
    if codings and lengths:
        raise ValueError("both Transfer-Encoding and Content-Length are given")
    if codings and (minor == 0 or len(codings) > 1 or codings[0].lower() != "chunked"):
        raise ValueError("the only transfer coding is chunked, in HTTP/1.1")
    if len(lengths) > 1 or (lengths and not _LENGTH.match(lengths[0])):
        raise ValueError("Content-Length is one plain number")
    return bool(codings), int(lengths[0]) if lengths else None


def _request_framing(table: Table, minor: int) -> Framing:
    coded, length = _body_headers(table, minor)
    if coded:
        return Framing(by=Delimiter.CHUNKED)
    return Framing(by=Delimiter.LENGTH, length=length) if length else NO_BODY


def _keep_alive(table: Table, minor: int) -> bool:
    if "connection" not in table:
        return minor == 1
    options = _options(table["connection"])
    return "close" not in options and (minor == 1 or "keep-alive" in options)


def _options(values: Iterable[str]) -> frozenset[str]:
    return frozenset(option.strip().lower() for value in values for option in value.split(","))


def end_to_end(headers: Headers) -> Headers:
    """Give the headers that may travel on: no hop-by-hop ones, none named by Connection."""
    options = [value for name, value in headers if name == "connection"]
    dropped = _HOP_BY_HOP | _options(options) if options else _HOP_BY_HOP
    return tuple([item for item in headers if item[0] not in dropped])


def write_request(method: str, path: str, headers: Headers, framing: Framing) -> bytes:
    """Write a request head for an origin server; the headers begin with its Host."""
    return _write(f"{method} {path} HTTP/1.1", headers, framing)


def write_reply(status: int, headers: Headers, framing: Framing, *, keep_alive: bool) -> bytes:
    """Write a reply head for our client."""
    phrase = _PHRASES.get(status, "")
    connection = "keep-alive" if keep_alive else "close"
    return _write(f"HTTP/1.1 {status} {phrase}", (*headers, ("connection", connection)), framing)


def _write(line: str, headers: Headers, framing: Framing) -> bytes:
    lines = [line, *[f"{name}: {value}" for name, value in headers]]
    match framing.by:
        case Delimiter.CHUNKED:
            lines.append("transfer-encoding: chunked")
        case Delimiter.LENGTH:
            lines.append(f"content-length: {framing.length}")
        case Delimiter.NONE | Delimiter.CLOSE:
            pass
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
