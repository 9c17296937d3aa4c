"""Bytes to a positioned tree."""

import tracemalloc
from contextlib import suppress

import pytest

from ringfence.chain.document import read, scalars
from ringfence.chain.errors import InputError
from ringfence.chain.node import to_json

KIB = 1024


@pytest.mark.parametrize(
    ("file", "data", "as_json"),
    [
        ("a.json", b'{"a": 1}', True),
        ("a.JSON", b'{"a": 1}', True),
        ("a.yaml", b'{"a": 1}', False),
        ("a.yml", b'{"a": 1}', False),
        ("chain", b' \n{"a": 1}', True),
        ("-", b"a: 1", False),
    ],
)
def test_the_name_says_which_format_it_is(file: str, data: bytes, *, as_json: bool) -> None:
    """Only without a known ending does the first character decide."""
    assert to_json(read(data, file=file).root) == {"a": 1}
    broken = data.replace(b"1", b"[1,]")  # YAML allows the comma, JSON does not
    if as_json:
        with pytest.raises(InputError, match="trailing comma"):
            read(broken, file=file)
    else:
        flow = b'{"a": [1,]}'
        assert to_json(read(flow, file="a.yaml").root) == {"a": [1]}


def test_yaml_is_not_taken_for_json() -> None:
    """A file called .json is never read by the laxer grammar."""
    with pytest.raises(InputError) as caught:
        read(b"a: 1", file="a.json")
    assert caught.value.code == "json-syntax"


def test_scalars_give_every_text_with_its_way_and_place() -> None:
    """Keys, values and numbers as they are spelled; null is nothing."""
    document = read(b'name: x\nlist:\n  - 1.50\n  - {k: "v", n: ~, b: True}\n', file="a.yaml")
    found = [(s.path, s.value, str(s.position), s.is_key) for s in scalars(document)]
    assert found == [
        (("name",), "name", "a.yaml:1:1", True),
        (("name",), "x", "a.yaml:1:7", False),
        (("list",), "list", "a.yaml:2:1", True),
        (("list", 0), "1.50", "a.yaml:3:5", False),
        (("list", 1, "k"), "k", "a.yaml:4:6", True),
        (("list", 1, "k"), "v", "a.yaml:4:9", False),
        (("list", 1, "n"), "n", "a.yaml:4:14", True),
        (("list", 1, "b"), "b", "a.yaml:4:20", True),
        (("list", 1, "b"), "True", "a.yaml:4:23", False),
    ]


HOSTILE = {
    "words.yaml": b"a: " + b"word " * 9_000,
    "lines.yaml": b"a:\n" + b" b\n" * 16_000,
    "blank.yaml": b"a: |\n" + b"\n" * 49_000,
    "commas.yaml": b"a: [" + b"b," * 24_000,
    "brackets.yaml": b"[" * 49_000,
    "escapes.yaml": b'a: "' + b"\\x41" * 12_000,
    "brackets.json": b"[" * 262_000,
    "commas.json": b"[" + b"1," * 131_000,
    "string.json": b'["' + b"x" * 262_000,
    "spaces.json": b"[" + b"\n" * 262_000,
    "large.json": b"[" * 10_000_000,
}


@pytest.mark.parametrize("file", HOSTILE)
def test_hostile_files_need_little_memory(file: str) -> None:
    """Refusing or reading any of them takes less than 50 MB at the worst moment."""
    data = HOSTILE[file]
    tracemalloc.start()
    with suppress(InputError):
        read(data, file=file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * KIB * KIB
