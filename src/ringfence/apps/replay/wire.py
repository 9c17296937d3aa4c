"""HTTP/1.1 as a lenient server reads it: enough to log what came and to answer it.

Invariants:
1. What is logged is what arrived, byte for byte, before any decoding.
2. Heads and bodies are bounded; the connection ends where a bound is passed.

Lenient on purpose: a server an attacker would choose accepts anything. The strict reading is the
broker's job.
"""

import asyncio
import gzip
import json
import zlib
from dataclasses import dataclass

from ringfence.chain.words import Json

MAX_HEAD = 64 * 1024
MAX_BODY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: parsed just far enough, and raw."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str:
        """Give the first header of that name, empty when there is none."""
        return next((v for k, v in self.headers if k == name.lower()), "")

    def content(self) -> bytes:
        """Give the body with its content encoding undone; as it came when that fails."""
        if self.header("content-encoding") == "gzip":
            try:
                return gzip.decompress(self.body)
            except (OSError, EOFError, zlib.error):
                return self.body
        return self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, always JSON."""

    status: int = 200
    body: Json = None

    def wire(self) -> bytes:
        """Give the bytes to send."""
        body = json.dumps(self.body).encode()
        head = f"HTTP/1.1 {self.status} Reply\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None when the other side is done or sends no HTTP."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) < 3:
        return None
    pairs = (line.partition(":") for line in lines if ":" in line)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    fields = dict(reversed(headers))
    if fields.get("transfer-encoding", "").lower() == "chunked":
        rest, body = await _chunked(reader)
    else:
        length = fields.get("content-length", "0")
        rest = body = await reader.readexactly(
            min(int(length) if length.isdigit() else 0, MAX_BODY)
        )
    return Request(method=parts[0], target=parts[1], headers=headers, body=body, raw=head + rest)


async def _chunked(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    raw, body = b"", b""
    while len(body) < MAX_BODY:
        line = await reader.readuntil(b"\r\n")
        chunk = await reader.readexactly(int(line.split(b";")[0], 16) + 2)
        raw += line + chunk
        body += chunk[:-2]
        if chunk == b"\r\n":
            break
    return raw, body
