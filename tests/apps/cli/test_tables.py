"""Tables align, and no cell can leave its place."""

import pty
import subprocess
import sys
from os import close, read

import pytest

from ringfence.apps.cli.tables import echo_table


def test_columns_stand_under_their_headers(capsys: pytest.CaptureFixture[str]) -> None:
    """The widest cell gives the width; nothing is cut where nobody looks at a terminal."""
    echo_table(("run", "status"), [("r1", "succeeded"), ("r100", "x" * 300)])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.index("STATUS") == first.index("succeeded") == second.index("x") == 6
    assert second.count("x") == 300


def test_a_cell_cannot_leave_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Line feeds, escapes, direction marks and zero-width characters become visible text."""
    evil = "a\nb\x1b[2Jc\u202ed\u200be\r"
    echo_table(("name",), [(evil,)], err=True)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 2
    assert "a<U+000A>b<U+001B>[2Jc<U+202E>d<U+200B>e<U+000D>" in shown


def test_a_terminal_gets_lines_no_wider_than_it_is() -> None:
    """The last column is cut with a mark that says so; guard off: a pipe gets all of it."""
    code = "from ringfence.apps.cli.tables import echo_table; echo_table(('a',), [('x' * 500,)])"
    piped = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert piped.stdout.count("x") == 500
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", code], stdout=theirs, timeout=30, check=True,
        env={"COLUMNS": "40", "LINES": "24"},
    )  # fmt: skip
    close(theirs)
    lines = read(ours, 10_000).decode().splitlines()
    close(ours)
    assert lines[1] == "x" * 39 + "…"
