"""A chain is refused with every error it has, before any command does anything with it."""

from pathlib import Path

import pytest

from ringfence.apps.load import load
from ringfence.chain.parse import ChainRejected

TOKEN = "ghp_" + "9fK2mQ7xV4bN8sT1wY6cR3hJ5gL0pDzAeUoI"
GOOD = """
name: good
agents:
  - name: write
    type: script
    run: [python3, w.py]
    triggers: [chain:start]
    emits: [w:done]
    output: o.json
  - name: check
    type: gate
    triggers: [w:done]
    emits: [chain:complete]
    input: o.json
    checks: [secrets]
"""


def rejected(text: str) -> list[tuple[str, int]]:
    """Give code and line of every error."""
    with pytest.raises(ChainRejected) as refusal:
        load(text.encode(), file="c.yaml", variables={})
    return [(e.code, e.where.line if e.where else 0) for e in refusal.value.errors]


def test_a_good_chain_is_loaded() -> None:
    """The tests below change one line of this one."""
    assert [a.name for a in load(GOOD.encode(), file="c.yaml", variables={}).agents] == [
        "write", "check",
    ]  # fmt: skip


def test_an_unknown_check_is_found_before_the_gate_runs() -> None:
    """A misspelt check would otherwise be found when the first agents already ran."""
    assert rejected(GOOD.replace("[secrets]", "[secret]")) == [("unknown-check", 10)]


def test_a_schema_that_cannot_be_used_is_found() -> None:
    """One that nothing could ever be checked against."""
    broken = GOOD + "    outputSchema: {type: nonsense}\n"
    assert [line for _, line in rejected(broken)] == [10]


def test_secrets_written_into_the_file_are_all_named_and_none_repeated() -> None:
    """In a value, in a key, in a command: each with its line; the error holds no value."""
    text = GOOD.replace("[python3, w.py]", f"[python3, w.py, {TOKEN}]")
    text = text.replace("[secrets]", f"[secrets]\n    env: {{A: {TOKEN}}}")
    assert rejected(text) == [("secret-in-chain", 6), ("secret-in-chain", 16)]
    with pytest.raises(ChainRejected) as refusal:
        load(text.encode(), file="c.yaml", variables={})
    assert all(TOKEN not in f"{e.message}{e.hint}" for e in refusal.value.errors)


def test_every_kind_of_error_comes_at_once() -> None:
    """A person mends the file once, not once for each check."""
    text = GOOD.replace("[secrets]", "[secret]").replace("w.py", TOKEN)
    assert {code for code, _ in rejected(text)} == {"secret-in-chain", "unknown-check"}


def test_the_shipped_examples_load() -> None:
    """What the repository shows to people is accepted by it."""
    root = Path(__file__).parent.parent.parent
    found = [p for p in (root / "examples").rglob("*") if p.suffix in {".json", ".yaml"}]
    assert found
    for path in found:
        load(path.read_bytes(), file=str(path), variables={})
