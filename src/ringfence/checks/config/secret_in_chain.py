"""Secrets written into a chain file, where everybody who reads the repository has them.

Invariants:
1. A finding shows the place and the way out; the value is never in it.
2. Credentials of known kinds count anywhere; a random-looking value counts only under a key that
   says it is a secret, because digests, ids and model names are random-looking too.
3. References (``$NAME``, ``${NAME}``, ``{NAME}``) and placeholders are what a chain should hold.
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.chain.errors import Position
from ringfence.checks.finding import Finding, Severity
from ringfence.checks.output import credentials
from ringfence.checks.output.credential_rule import entropy, looks_made_up

CHECK = "secret-in-chain"

TITLE = "Secret written into a chain file"
WHY = (
    "A chain file is committed, copied into every run and shown in reviews; a secret in it is "
    "known to everybody who ever reads one of them, and cannot be bound to a host."
)
FIX = "run `ringfence secrets set NAME` and name it under the agent's `secrets:`"

# Words that make a key sound like a secret, after the key is cut into words.
_SECRET_WORDS = frozenset(
    [
        "token",
        "secret",
        "password",
        "passwd",
        "pwd",
        "apikey",
        "authorization",
        "auth",
        "credential",
        "credentials",
        "bearer",
        "passphrase",
        "privatekey",
        "accesskey",
    ]
)
_SECRET_PAIRS = (("api", "key"), ("access", "key"), ("private", "key"), ("signing", "key"))
# Keys whose value names or describes a secret and is none.
_NAMING_WORDS = frozenset(
    [
        "name",
        "env",
        "file",
        "path",
        "url",
        "host",
        "slot",
        "type",
        "id",
        "header",
        "ttl",
        "policy",
        "limit",
        "length",
        "count",
        "mode",
        "scope",
        "scopes",
        "provider",
        "rotation",
        "prefix",
        "format",
        "field",
        "var",
        "variable",
        "ref",
        "source",
        "store",
    ]
)
# Under these even plain words are a secret: people choose passwords.
_CHOSEN_WORDS = frozenset(["password", "passwd", "pwd", "passphrase"])
# The chain format's own keys under which words about secrets stand.
_OWN_SUBTREES = frozenset({"secrets", "triggers", "emits", "checks", "reads", "writes"})

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_REFERENCE = re.compile(r"\$?\{\{?[^{}]{1,128}\}\}?|\$[A-Za-z_][A-Za-z0-9_]{0,127}|<[^<>]{1,128}>")
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|token|bearer|basic)[ \t]{1,8}+")
SHORTEST_SECRET = 8
# Measured on the table of samples: words and names stay below, random strings above.
LEAST_ENTROPY = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSample:
    """One scalar of a chain file, for tests and the docs page."""

    path: tuple[str | int, ...]
    value: str
    note: str


def check(
    scalars: Iterable[tuple[tuple[str | int, ...], str, Position]],
) -> tuple[Finding, ...]:
    """Give a finding for each scalar of a chain file that holds a secret.

    ``scalars`` are (path of keys and indexes, text, place).
    """
    found = []
    for path, value, where in scalars:
        kind = _kind(path, value)
        if kind is not None:
            name, severity = kind
            found.append(
                Finding(
                    check=CHECK,
                    severity=severity,
                    message=f"{name} stands in the file under {_spell(path)}; {FIX}",
                    where=where,
                    detail={"kind": name, "path": _spell(path)},
                )
            )
    return tuple(found)


def _kind(path: tuple[str | int, ...], value: str) -> tuple[str, Severity] | None:
    known = credentials.find(value.encode("utf-8", "surrogatepass"))
    if known:
        worst = max(known, key=lambda credential: credential.severity.rank)
        return worst.rule.title, worst.severity
    words = _key_words(path)
    if _sounds_secret(words) and _looks_secret(value, chosen=bool(_CHOSEN_WORDS & set(words))):
        return "a secret value", Severity.HIGH
    return None


def _key_words(path: tuple[str | int, ...]) -> list[str]:
    """Give the words of the key the scalar stands under, none where the format's own names are."""
    keys = [part for part in path if isinstance(part, str)]
    if not keys or _OWN_SUBTREES & set(keys[:-1]):
        return []
    return [word.lower() for word in _WORDS.findall(keys[-1][:256])]


def _sounds_secret(words: list[str]) -> bool:
    if not words or words[-1] in _NAMING_WORDS:
        return False
    return bool(_SECRET_WORDS & set(words)) or any(
        pair in _SECRET_PAIRS for pair in itertools.pairwise(words)
    )


def _looks_secret(value: str, *, chosen: bool) -> bool:
    text = _SCHEME.sub("", value.strip(), count=1)
    if len(text) < SHORTEST_SECRET or any(char.isspace() for char in text):
        return False
    if _REFERENCE.search(text) or looks_made_up(text.encode("utf-8", "surrogatepass")):
        return False
    if not chosen and not any(char.isdigit() for char in text) and text == text.lower():
        return False
    return entropy(text.encode("utf-8", "surrogatepass")) >= LEAST_ENTROPY


def _spell(path: tuple[str | int, ...]) -> str:
    """Write a path as people do: ``agents[0].env.TOKEN``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if part.isprintable() and len(part) <= 64 else "?"
            text += f".{shown}" if text else shown
    return text


_TOKEN = "kQ3xWv9RtL2nYb8JcD5s" + "Hf4Gp6Tm"

BAD: tuple[ChainSample, ...] = (
    ChainSample(
        path=("agents", 0, "env", "API_TOKEN"), value=_TOKEN, note="a token in an environment"
    ),
    ChainSample(
        path=("agents", 0, "mcpServers", "x", "headers", "Authorization"),
        value="Bearer " + _TOKEN,
        note="a header",
    ),
    ChainSample(
        path=("trigger", "secret"), value=_TOKEN[::-1], note="the secret of a web hook trigger"
    ),
    ChainSample(
        path=("variables", "dbPassword"), value="kitten-staple-7", note="a chosen password"
    ),
    ChainSample(
        path=("agents", 0, "env", "clientSecret"),
        value="3f9c2a7be41d" + "8056c1e94b7da2f0",
        note="hex under a key that says secret",
    ),
    ChainSample(
        path=("agents", 0, "prompt"),
        value="Use the id AKIA" + "Z3MRQ6TXW2NB5VKD for the bucket.",
        note="a known kind, anywhere",
    ),
)

GOOD: tuple[ChainSample, ...] = (
    ChainSample(path=("agents", 0, "env", "API_TOKEN"), value="$API_TOKEN", note="a reference"),
    ChainSample(path=("agents", 0, "env", "API_TOKEN"), value="${API_TOKEN}", note="a reference"),
    ChainSample(path=("variables", "apiKey"), value="<your-api-key-17>", note="a placeholder"),
    ChainSample(path=("variables", "password"), value="changeme-please-1", note="a placeholder"),
    ChainSample(path=("variables", "token"), value="example-token-0001", note="a placeholder"),
    ChainSample(
        path=("agents", 0, "secrets", 0, "name"), value="GITHUB_TOKEN_V2", note="a secret's name"
    ),
    ChainSample(
        path=("agents", 0, "secrets", 0, "slot"), value="header:authorization", note="a slot"
    ),
    ChainSample(
        path=("variables", "commit"),
        value="9f1c3a5be27d4480c6e1f94b7da2f05a3c8e6d10",
        note="a commit id",
    ),
    ChainSample(
        path=("variables", "run_id"), value="6f1e2d3c-4b5a-4978-8a6b-5c4d3e2f1a0b", note="a UUID"
    ),
    ChainSample(
        path=("agents", 0, "image"),
        value="sha256:4d2b1c9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c",
        note="a digest",
    ),
    ChainSample(path=("agents", 0, "model"), value="claude-sonnet-4-5-20250929", note="a model"),
    ChainSample(
        path=("variables", "TOKEN_URL"),
        value="https://login.test/oauth2/v2.0/token?tenant=acme42",
        note="the address of a token service",
    ),
    ChainSample(
        path=("agents", 0, "prompt"),
        value="![logo](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4"
        "2mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==)",
        note="an image in a prompt",
    ),
    ChainSample(path=("variables", "auth"), value="github-oauth-app", note="plain words"),
    ChainSample(path=("variables", "auth"), value="ask team Blue 42 first", note="a sentence"),
    ChainSample(path=("variables", "max_tokens"), value="128000", note="a number of tokens"),
    ChainSample(
        path=("variables", "passwordPolicy"), value="min12-upper-digit", note="about passwords"
    ),
    ChainSample(path=("agents", 0, "emits", 0), value="secret:rotated2024", note="an event"),
)
