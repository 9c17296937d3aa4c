"""The schema for editors says the same as `parse`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import ringfence.chain
from ringfence.chain.document import read
from ringfence.chain.node import to_json
from ringfence.chain.parse import parse
from ringfence.chain.schema import json_schema, schema_text

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").iterdir())
VALIDATOR = Draft202012Validator(json_schema())


def test_the_schema_is_a_schema() -> None:
    """It keeps to the rules of draft 2020-12."""
    Draft202012Validator.check_schema(json_schema())


def test_the_shipped_file_is_the_generated_one() -> None:
    """What editors read is what `parse` uses."""
    shipped = Path(ringfence.chain.__file__).with_name("chain.schema.json")
    assert shipped.read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_load_and_satisfy_the_schema(path: Path) -> None:
    """Every chain we show is one."""
    data = path.read_bytes()
    assert parse(data, file=path.name).name == path.stem
    VALIDATOR.validate(to_json(read(data, file=path.name).root))


def test_a_literal_mentiko_chain_is_among_them() -> None:
    """The format that is loaded as it is, with both spellings of an agent's name."""
    path = next(path for path in EXAMPLES if path.suffix == ".json")
    chain = parse(path.read_bytes(), file=path.name)
    assert [agent.name for agent in chain.agents] == [
        "collect",
        "write",
        "security-gate",
        "publish",
    ]
    assert chain.schedule == "30 7 * * 1-5"
    assert chain.agents[0].prompt.startswith("List the changes merged in billing")
    assert "{passed, issues[{type,description,severity}]}" in chain.agents[2].prompt


@pytest.mark.parametrize(
    "line",
    [
        "network: [api.example.com, {host: b.example, port: 1}]",
        "timeout: 10m",
        "timeout: 600",
        "input: []",
        "x-note: {free: [1]}",
        "retry: {max_attempts: 2}",
        "outputSchema: {type: object, anything: 1}",
    ],
)
def test_what_loads_satisfies_the_schema(one: str, line: str) -> None:
    """An editor never marks what we take."""
    text = one + f"    {line}\n"
    parse(text.encode(), file="c.yaml")
    VALIDATOR.validate(to_json(read(text.encode(), file="c.yaml").root))


@pytest.mark.parametrize(
    "line",
    [
        "promt: x",
        "tools: [shell]",
        "timeout: 10 m",
        "timeout: 0",
        "run: make",
        "type: shell",
        "env: {A-B: x}",
        "network: ['*.com/']",
        "network: [{host: '*.com'}]",
        "secrets: [TOKEN]",
        "secrets: [{name: TOKEN}]",
        "input: [a, a]",
        "agent: second-name",
        "output: a/b",
    ],
)
def test_what_a_single_field_shows_is_marked_by_the_schema(
    one: str, only_faults: Callable[..., list[str]], line: str
) -> None:
    """Both refuse it: the schema in the editor, `parse` before a run."""
    assert only_faults(line)
    value = to_json(read((one + f"    {line}\n").encode(), file="c.yaml").root)
    # A short rule is any text to the schema; its grammar needs more than a pattern.
    assert VALIDATOR.is_valid(value) is (line == "network: ['*.com/']")
