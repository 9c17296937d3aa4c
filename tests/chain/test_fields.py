"""The table of fields."""

from collections.abc import Iterator

import pytest

from ringfence.chain.fields import CHAIN
from ringfence.chain.shape import ListOf, Record, Shape


def records(shape: Shape) -> Iterator[Record]:
    """Give every record a shape is made of."""
    match shape:
        case ListOf(item=item):
            yield from records(item)
        case Record(fields=fields):
            yield shape
            for field in fields:
                yield from records(field.shape)
        case _:
            return


RECORDS = list(records(CHAIN))


def test_every_part_of_the_file_is_in_the_table() -> None:
    """The records a person can write, once each."""
    assert [record.what for record in RECORDS] == [
        "a chain",
        "an agent",
        "workspace",
        "a network rule",
        "a secret",
        "retry",
        "limits",
        "limits",
    ]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.what)
def test_fields_are_said_once_and_explained(record: Record) -> None:
    """Each has a sentence; a refused one has a way out as well."""
    names = [name for f in record.fields for name in (f.name, f.alias) if name]
    assert len(names) == len(set(names))
    for field in record.fields:
        assert field.doc.endswith(".")
        assert not (field.refused and field.required)


def test_guards_that_nothing_enforces_are_refused() -> None:
    """A guard in the file either holds or stops the file (R3)."""
    agent = next(record for record in RECORDS if record.what == "an agent")
    refused = {field.name for field in agent.fields if field.refused}
    assert refused == {
        "tools", "allowedTools", "toolsSettings", "hooks", "steering", "mcpServers", "reads",
        "writes",
    }  # fmt: skip
