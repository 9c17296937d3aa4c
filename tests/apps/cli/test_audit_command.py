"""``ringfence audit``: every edit of the file is found and named, and none ends in a traceback."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

NAMES = ("A", "B", "C", "D")


@pytest.fixture
def used(person: Any) -> Any:
    """A person whose log holds four records."""
    for name in NAMES:
        assert person("secrets", "set", name, "--stdin", stdin="some-value").code == 0
    return person


def edit(person: Any, statement: str, *values: object) -> None:
    """Change the log behind the product's back."""
    database = sqlite3.connect(Path(person.data) / "audit.sqlite", isolation_level=None)
    assert database.execute(statement, values).rowcount > 0
    database.close()


def record(person: Any, position: int) -> bytes:
    """Give the stored bytes of a record."""
    database = sqlite3.connect(Path(person.data) / "audit.sqlite")
    (data,) = database.execute("SELECT data FROM record WHERE position = ?", (position,)).fetchone()
    database.close()
    return bytes(data)


def test_records_are_shown_oldest_first(used: Any) -> None:
    """As lines for people and as JSON with the position."""
    lines = used("audit", "show").out.splitlines()
    assert [line.split("subject=")[1] for line in lines] == list(NAMES)
    bodies = [json.loads(line) for line in used("audit", "show", "--json").out.splitlines()]
    assert [(b["position"], b["subject"]) for b in bodies] == list(enumerate(NAMES))


def test_filters_narrow_and_say_when_nothing_is_left(used: Any) -> None:
    """By event, by run, by denial; exit code 3 for none, 2 for an event that does not exist."""
    used("secrets", "rm", "B")
    assert used("audit", "show", "--event", "secret.remove").out.count("\n") == 1
    assert used("audit", "show", "--run", "r20260101-none").code == 3
    assert used("audit", "show", "--denied").code == 3
    assert used("audit", "show", "--event", "no.such").code == 2


def test_one_flipped_byte_is_found_and_named(used: Any) -> None:
    """Before the flip the log verifies; after it the position is named and the exit code is 1."""
    assert used("audit", "verify").out == "audit verify: ok (4 records)\n"
    data = bytearray(record(used, 2))
    data[len(data) // 2] ^= 1
    edit(used, "UPDATE record SET data = ? WHERE position = 2", bytes(data))
    broken = used("audit", "verify", "--json")
    assert broken.code == 1
    first = json.loads(broken.out.splitlines()[0])
    assert (first["ok"], first["first_bad"]) == (False, 2)
    text = used("audit", "verify")
    assert text.code == 1
    assert "audit-broken" in text.err
    assert "position 2" in text.err


@pytest.mark.parametrize(
    ("statement", "position"),
    [
        ("DELETE FROM record WHERE position = 3", 3),
        ("DELETE FROM record WHERE position = 1", 1),
        ("DELETE FROM record WHERE position >= 0", 0),
        ("UPDATE record SET data = x'' WHERE position = 0", 0),
        ("UPDATE record SET data = x'ff00', leaf = x'00' WHERE position = 1", 1),
    ],
    ids=["last gone", "one gone", "all gone", "emptied", "no JSON"],
)
def test_every_damage_is_found_without_a_traceback(
    used: Any, statement: str, position: int
) -> None:
    """Also the deletion of the last record, which leaves no hole; showing the rest still works."""
    assert used("audit", "verify").code == 0
    edit(used, statement)
    found = used("audit", "verify", "--json")
    assert found.code == 1
    assert json.loads(found.out.splitlines()[0])["first_bad"] == position
    for command in (("verify",), ("show",), ("show", "--json"), ("show", "--denied")):
        done = used("audit", *command)
        assert "Traceback" not in done.err, done.err
        assert "internal-error" not in done.err
    assert used("secrets", "set", "E", "--stdin", stdin="some-value").code in {0, 1}
    assert used("audit", "verify").code == 1, "going on must not mend what was edited"


def test_an_unreadable_record_is_shown_even_among_denials(used: Any) -> None:
    """What it said cannot be known, so no filter may hide it."""
    edit(used, "UPDATE record SET data = x'ff' WHERE position = 1")
    denied = used("audit", "show", "--denied", "--json")
    assert json.loads(denied.out) == {"position": 1, "unreadable": 1}


def test_a_log_that_is_gone_is_not_begun_again(used: Any) -> None:
    """A fresh log would verify: nothing is recorded or done until the old one is back."""
    log = Path(used.data) / "audit.sqlite"
    kept = {path: Path(used.home) / path.name for path in log.parent.glob("audit.sqlite*")}
    for path, away in kept.items():
        path.rename(away)
    for command in (("audit", "verify"), ("audit", "show"), ("secrets", "rm", "A")):
        done = used(*command)
        assert done.code == 1, done.out
        assert "audit-missing" in done.err
    assert not log.exists()
    for path, away in kept.items():
        away.rename(path)
    assert used("audit", "verify").code == 0


def test_a_log_can_be_verified_without_the_vaults_key(used: Any) -> None:
    """The public key is enough; a person without the passphrase may check the record."""
    for name in ("vault.key", "audit.key"):
        (Path(used.data) / name).rename(Path(used.home) / name)
    assert used("audit", "verify").code == 0
    assert used("secrets", "list").code == 4
