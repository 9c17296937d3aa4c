"""Bytes to a chain, or everything that is wrong with them."""

import ast
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import ringfence.chain
from ringfence.chain.errors import InputError
from ringfence.chain.parse import ChainRejected, parse
from ringfence.chain.show import render
from ringfence.chain.words import Action, Chain, ChainLimits

Load = Callable[..., Chain]
Faults = Callable[..., list[str]]


def check_outcome(data: bytes, file: str) -> None:
    """Parse; on rejection check that every error is sound and can be shown."""
    rejected: ChainRejected | None = None
    try:
        parse(data, file=file)
    except ChainRejected as caught:
        rejected = caught
    if rejected is None:
        return
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert rejected.errors
    assert render(rejected)
    for error in rejected.errors:
        assert type(error) is InputError
        assert error.where is not None
        assert error.where.file == file
        assert 1 <= error.where.line <= len(lines)
        assert 1 <= error.where.column <= len(error.where.text) + 1
        assert "\n" not in error.message + error.hint


@given(st.binary(max_size=200), st.sampled_from(["a.json", "a.yaml", "a"]))
@example(b"\x00", "a.yaml")
@example(b"\xef\xbb\xbf{}", "a.json")
@example(b"\r\n\t- a", "a.yaml")
@example(b"? ", "a.yaml")
@example(b"%", "a.yaml")
@example(b'"\\U0011FFFF"', "a.yaml")
@example(b"{}", "a.json")
def test_any_bytes_are_a_chain_or_rejected(data: bytes, file: str) -> None:
    """There is no third outcome, and every error has a place inside the file."""
    check_outcome(data, file)


WORDS = st.sampled_from(
    [
        "name", "agents", "agent", "triggers", "emits", "prompt", "run", "network", "secrets",
        "host", "env", "input", "output", "workspace", "directory", "type", "gate", "review",
        "chain:start", "chain:complete", "a:b", "x", "x-y", "{A}", "variables", "A", "limits",
        "on_error", "outputs", "../x", "*.com", "timeout", "10m",
    ]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(allow_nan=False) | WORDS
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=25,
)


@given(
    st.dictionaries(WORDS, TREES, max_size=6),
    st.lists(st.dictionaries(WORDS, TREES, max_size=8), max_size=3),
)
def test_any_tree_of_our_words_is_a_chain_or_rejected(
    top: dict[str, object], agents: list[dict[str, object]]
) -> None:
    """Files that look like chains reach the deeper checks, with the same two outcomes."""
    data = json.dumps({"name": "x", **top, "agents": agents}).encode()
    check_outcome(data, "a.json")


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?", fullmatch=True)
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp", "Cn", "Co"))
)


@st.composite
def chains(draw: st.DrawFn) -> dict[str, object]:
    """Give a valid chain as plain values: a row of agents with all kinds of fields."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    agents: list[dict[str, object]] = []
    for index, name in enumerate(names):
        last = index == len(names) - 1
        agent: dict[str, object] = {
            draw(st.sampled_from(["name", "agent"])): name,
            "triggers": [f"e:{names[index - 1]}"] if index else "chain:start",
            "emits": ["chain:complete" if last else f"e:{name}"],
            "output": f"{name}.txt",
        }
        if draw(st.booleans()):
            agent["run"] = draw(st.lists(TEXTS, min_size=1, max_size=3))
        else:
            agent["prompt"] = draw(TEXTS.filter(bool))
        if index and draw(st.booleans()):
            agent["input"] = [f"{names[index - 1]}.txt"]
        if draw(st.booleans()):
            agent["network"] = [{"host": "a.example", "port": draw(st.integers(1, 65_535))}]
            agent["secrets"] = [{"name": "TOKEN", "host": "a.example"}]
        if draw(st.booleans()):
            agent["env"] = {"PLAIN": draw(TEXTS)}
        if draw(st.booleans()):
            agent["timeout"] = draw(st.sampled_from([1, 60, "2h"]))
        agents.append(agent)
    return {"name": draw(NAMES), "description": draw(TEXTS), "agents": agents}


def without_places(chain: Chain) -> object:
    """Give what a chain says, without where and in which bytes it is said."""

    def plain(value: object) -> object:
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if hasattr(value, "__dataclass_fields__"):
            return {
                name: plain(getattr(value, name))
                for name in value.__dataclass_fields__
                if name not in {"where", "digest", "file"}
            }
        return value

    return plain(chain)


@given(chains())
def test_json_and_yaml_say_the_same(value: dict[str, object]) -> None:
    """One chain written in both formats gives one record."""
    as_json = parse(json.dumps(value).encode(), file="a.json")
    # JSON is YAML, but for the halves of surrogate pairs that its escapes may spell.
    as_yaml = parse(json.dumps(value, ensure_ascii=False).encode(), file="a.yaml")
    assert without_places(as_json) == without_places(as_yaml)


def test_block_yaml_says_the_same_as_json() -> None:
    """The examples written anew by the library in block style load alike."""
    for path in (Path(__file__).parents[2] / "examples").glob("*.yaml"):
        chain = parse(path.read_bytes(), file=path.name)
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        again = parse(json.dumps(value).encode(), file="again.json")
        assert without_places(chain) == without_places(again)


def test_the_chain_keeps_what_the_file_says(load: Load) -> None:
    """Fields of the chain itself, of Mentiko and of ours."""
    text = """\
    apiVersion: ringfence/v1
    name: all
    version: 1.2.3
    description: What it is for.
    schedule: 0 7 * * *
    trigger: {type: webhook, filter: {headers: {a: b}}}
    rbac: {chain-admin: [ann]}
    variables: {AREA: billing}
    limits: {time: 2h, concurrency: 3}
    outputs: notes.md
    x-team: anything
    agents:
      - {name: a, prompt: "{AREA}", triggers: chain:start, emits: chain:complete, output: notes.md}
    """
    chain = load(text, AREA="sales")
    assert (chain.name, chain.version, chain.description) == ("all", "1.2.3", "What it is for.")
    assert chain.schedule == "0 7 * * *"
    assert chain.trigger == {"type": "webhook", "filter": {"headers": {"a": "b"}}}
    assert chain.rbac == {"chain-admin": ["ann"]}
    assert chain.variables == {"AREA": "sales"}
    assert chain.limits == ChainLimits(time_seconds=7_200, concurrency=3)
    assert (chain.outputs, chain.agents[0].prompt) == (("notes.md",), "sales")
    assert chain.agent("a") is chain.agents[0]


def test_the_digest_is_that_of_the_bytes(one: str) -> None:
    """A space more is another file."""
    data = one.encode()
    assert parse(data, file="c.yaml").digest == hashlib.sha256(data).hexdigest()
    assert parse(data + b" \n", file="c.yaml").digest != hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", ["wrong-type 1:1"]),
        ("text", ["wrong-type 1:1"]),
        ("{}", ["missing-field 1:1", "missing-field 1:1"]),
        ("name: x\nagents: []", ["wrong-length 2:9"]),
        ("name: x\nagents: [a]", ["wrong-type 2:10"]),
        ("name: My Chain\nagents: []", ["bad-value 1:7", "wrong-length 2:9"]),
        ("name: x\nagents: {}\nshedule: 1", ["wrong-type 2:9", "unknown-field 3:1"]),
        ("name: x\nlabels: {}\nagents: []", ["not-enforced 2:1", "wrong-length 3:9"]),
        ("name: x\napiVersion: v2\nagents: []", ["bad-value 2:13", "wrong-length 3:9"]),
        ("name: x\nvariables: {a: b, B: 1}\nagents: []",
         ["bad-value 2:13", "wrong-type 2:22", "wrong-length 3:9"]),
        ("name: x\nlimits: {time: 40d, cost: 1}\nagents: []",
         ["out-of-range 2:16", "not-enforced 2:21", "wrong-length 3:9"]),
        ("name: x\nagents:\n  - {name: A, prompt: x}",
         ["missing-field 3:5", "bad-value 3:12"]),
        ("name: x\nagents: &a [*a]", ["yaml-anchor 2:9"]),
    ],
)  # fmt: skip
def test_bad_files_have_their_places(faults: Faults, text: str, said: list[str]) -> None:
    """All errors of a file at once, in its order."""
    assert faults(text) == said


def test_the_first_error_speaks_for_the_file(one: str) -> None:
    """Whoever looks at one error only sees the first."""
    with pytest.raises(ChainRejected) as caught:
        parse((one + "    promt: y\n    zzz: 1\n").encode(), file="c.yaml")
    error = caught.value
    assert (error.code, str(error.where)) == ("unknown-field", "c.yaml:7:5")
    assert error.to_json() == error.errors[0].to_json()
    assert [e.code for e in error.errors] == ["unknown-field", "unknown-field"]


def test_an_override_nobody_declared_is_refused(one: str) -> None:
    """The person who typed it learns so before anything runs."""
    with pytest.raises(ChainRejected, match='no variable "AREA"'):
        parse(one.encode(), file="c.yaml", variables={"AREA": "x"})


def test_positions_point_into_json_as_well(faults: Faults) -> None:
    """Records keep the place where a person wrote them."""
    text = (
        '{"name": "x", "agents": [\n'
        '  {"name": "a", "prompt": "p", "triggers": "chain:start", "emits": "chain:complete",\n'
        '   "network": [{"host": "a.example", "action": "deny"}]}]}'
    )
    (agent,) = parse(text.encode(), file="c.json").agents
    assert str(agent.where) == "c.json:2:12"
    assert str(agent.network[0].where) == "c.json:3:16"
    assert agent.network[0].action is Action.DENY
    assert faults(text.replace('"p"', '"{NOPE}"'), "c.json") == ["unknown-variable 2:28"]


def test_a_variable_in_a_long_prompt_is_pointed_at(faults: Faults) -> None:
    """On its own line of a block, not at the head of the text."""
    text = """\
    name: x
    variables: {AREA: y}
    agents:
      - name: a
        prompt: |
          First {AREA} line.
          Then {ARAE} here.
        triggers: chain:start
        emits: chain:complete
    """
    assert faults(text) == ["unknown-variable 7:12"]


def codes_in_source() -> set[str]:
    """Give every error code the room can say, read from its calls."""
    position = {"error": 0, "add": 0, "add_span": 0, "InputError": 0, "_refused": 0, "judge": 1}
    codes = set()
    for path in Path(ringfence.chain.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            index = position.get(name, len(node.args))
            arg = node.args[index] if index < len(node.args) else None
            if isinstance(arg, ast.Constant) and isinstance(arg.value, str):
                codes.add(arg.value)
    return codes


def test_the_docs_list_every_code() -> None:
    """A person who searches for a code finds it; a code that is gone is not listed."""
    page = (Path(__file__).parents[2] / "docs/rooms/chain.md").read_text(encoding="utf-8")
    section = page.split("## Codes")[1].split("##")[0]
    listed = {word for part in section.split("`")[1::2] for word in part.split()}
    assert listed == codes_in_source()
