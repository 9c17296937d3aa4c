"""What a `Secret` refuses to be, and who may open one."""

import ast
import copy
import json
import pickle
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ringfence.vault.secret import Secret

SOURCE = Path(__file__).parents[2] / "src" / "ringfence"
CANARY = b"canary-7f3a9c"

# The only modules that may open a secret, each with what it opens it for.
MAY_REVEAL = {
    "vault/envelope.py": "key material, to derive the encryption key and the commitment",
    "store/keys.py": "two key seeds, to refuse one key in both roles",
    "gateway/*": "the swap of a placeholder on the wire",
    "apps/opening.py": "deriving the key of the engine's journal",
    "apps/runner/*": "handing leases to the broker, and the named degraded delivery",
}


def revealers() -> dict[str, list[int]]:
    """Give every module that names ``reveal``, as attribute or as text, with its lines."""
    found: dict[str, list[int]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name == "vault/secret.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            attribute = isinstance(node, ast.Attribute) and node.attr in {"reveal", "_value"}
            text = isinstance(node, ast.Constant) and node.value == "reveal"
            if attribute or text:
                found.setdefault(name, []).append(node.lineno)
    return found


def test_only_listed_modules_open_a_secret() -> None:
    """A new place that opens secrets is a line in this table first."""
    strangers = {
        name: lines
        for name, lines in revealers().items()
        if not any(fnmatch(name, pattern) for pattern in MAY_REVEAL)
    }
    assert strangers == {}


def test_the_table_has_no_stale_line() -> None:
    """A module named in full opens secrets; so the search above does find those that do."""
    named = {pattern for pattern in MAY_REVEAL if "*" not in pattern}
    assert named <= set(revealers())


def test_a_secret_gives_its_bytes_to_reveal_only() -> None:
    """Reveal is the door, and it is the only one."""
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}"):
        assert "canary" not in shown


def test_a_secret_does_not_serialise() -> None:
    """No pickle, no copy, no JSON, no iteration, no length, no bytes()."""
    secret = Secret(CANARY)
    with pytest.raises(TypeError):
        secret.__reduce__()
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, list, len, bytes, hash):
        with pytest.raises(TypeError) as caught:
            attempt(secret)
        assert "canary" not in str(caught.value)


def test_a_secret_is_not_compared_nor_tested() -> None:
    """An early-exit comparison would leak by time; a truth test is always a mistake."""
    with pytest.raises(TypeError):
        assert Secret(CANARY) == Secret(CANARY)
    with pytest.raises(TypeError):
        assert Secret(CANARY)


def test_wipe_overwrites_our_copy() -> None:
    """After wipe the value is gone from the object, its length stays."""
    secret = Secret(CANARY)
    secret.wipe()
    assert secret.reveal() == bytes(len(CANARY))


def test_the_caller_cannot_change_the_value_from_outside() -> None:
    """The bytes are copied in, so wiping the caller's buffer does not empty the secret."""
    buffer = bytearray(CANARY)
    secret = Secret(bytes(buffer))
    buffer[:] = bytes(len(buffer))
    assert secret.reveal() == CANARY
