"""``ringfence secrets``: values go in and are seen nowhere else."""

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

VALUE = "ghp_" + "Zq7" * 12
BYTES_KEPT = 16 * 1024


def stored(person: Any) -> bytes:
    """Give every byte below the data directory."""
    files = [path for path in Path(person.data).rglob("*") if path.is_file()]
    assert files
    return b"".join(path.read_bytes() for path in files)


def test_a_value_is_in_no_output_and_no_file(person: Any) -> None:
    """Neither raw, nor as hexadecimal, in any database, key or log; its name is."""
    done = person("secrets", "set", "TOKEN", "--stdin", stdin=VALUE)
    assert done.code == 0, done.err
    said = [done, person("secrets", "list"), person("secrets", "list", "--json"),
            person("audit", "show", "--json")]  # fmt: skip
    assert not any(VALUE in one.out + one.err for one in said)
    assert "TOKEN" in said[1].out
    kept = stored(person)
    assert b"TOKEN" in kept
    assert VALUE.encode() not in kept
    assert VALUE.encode().hex().encode() not in kept


def test_a_new_value_is_a_new_version(person: Any) -> None:
    """The list tells which, with its date."""
    for text in ("first-value", "second-value"):
        person("secrets", "set", "TOKEN", "--stdin", stdin=text)
    (entry,) = person("secrets", "list", "--json").json["secrets"]
    assert (entry["name"], entry["version"]) == ("TOKEN", 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-secret"),
        ("\n", "empty-secret"),
        ("abc", "value-too-short"),
        ("a  b\n", "value-too-short"),
        ("x" * (BYTES_KEPT + 1), "value-too-long"),
        ("x" * BYTES_KEPT + "\n" + "y" * 100, "value-too-long"),
        ("x" * BYTES_KEPT + "\r" + "y" * 100, "value-too-long"),
    ],
    ids=["empty", "newline", "short", "short-but-for-blanks", "long", "long-lines", "long-cr"],
)
def test_a_value_that_could_not_be_guarded_is_refused(person: Any, text: str, code: str) -> None:
    """Nothing is stored, nothing is recorded, and no run fails over it later."""
    done = person("secrets", "set", "TOKEN", "--stdin", stdin=text)
    assert done.code == 2
    assert code in done.err
    assert person("secrets", "list").code == 3
    assert person("audit", "show").code == 3


def test_the_longest_value_is_kept_whole(person: Any) -> None:
    """At the bound, with a line end that is not part of it."""
    done = person("secrets", "set", "TOKEN", "--stdin", stdin="x" * BYTES_KEPT + "\r\n")
    assert done.code == 0, done.err


def test_a_value_pasted_where_the_name_belongs_is_not_kept(person: Any) -> None:
    """It is not repeated and reaches neither vault nor audit log, which never forgets."""
    pasted = "-----BEGIN KEY----- Zq7"
    done = person("secrets", "set", "--stdin", "--", pasted, stdin=VALUE)
    assert done.code == 2
    assert pasted not in done.err
    person("secrets", "set", "OTHER", "--stdin", stdin=VALUE)
    assert pasted.encode() not in stored(person)


def test_without_a_terminal_nothing_is_asked(person: Any) -> None:
    """A script that forgot `--stdin` is told so instead of hanging or storing a line."""
    done = person("secrets", "set", "TOKEN", stdin=VALUE)
    assert done.code == 2
    assert "--stdin" in done.err
    assert VALUE not in done.err


def test_removing_takes_the_secret_away(person: Any) -> None:
    """It is recorded; the second time there is nothing to remove."""
    person("secrets", "set", "TOKEN", "--stdin", stdin=VALUE)
    assert person("secrets", "rm", "TOKEN").code == 0
    assert person("secrets", "list").code == 3
    again = person("secrets", "rm", "TOKEN")
    assert again.code == 2
    assert "unknown-secret" in again.err
    shown = person("audit", "show").out
    assert shown.count("secret.set") == shown.count("secret.remove") == 1


def test_a_value_as_an_argument_is_refused_and_not_repeated(person: Any) -> None:
    """Other users of the host see arguments; the refusal does not spread the value further."""
    done = person("secrets", "set", "TOKEN", VALUE, "--json", stdin=VALUE)
    assert done.code == 2
    plain = person("secrets", "set", "TOKEN", VALUE)
    assert "value-as-argument" in plain.err
    assert VALUE not in done.out + done.err + plain.out + plain.err
    assert person("secrets", "list").code == 3


def test_at_a_terminal_the_value_is_asked_for_and_not_shown(person: Any) -> None:
    """A terminal shows what is typed unless told not to; the prompt tells it."""
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", "--wait", *person.command("secrets", "set", "TOKEN")]
    shown = b""
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=person.work
    ) as process:
        os.close(theirs)
        while b"value of TOKEN" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, VALUE.encode() + b"\n")
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            pass  # the other end of the terminal has gone
        assert process.wait(timeout=30) == 0, shown
    os.close(ours)
    assert b"secret TOKEN version 1 stored" in shown
    assert VALUE.encode() not in shown
