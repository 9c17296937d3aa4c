"""Tables for people: aligned plain text, made harmless, cut only where the terminal ends."""

import shutil
import sys
from collections.abc import Sequence

import click

from ringfence.chain.show import plain


def echo_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool = False) -> None:
    """Print rows under a header; on a terminal the last column is cut to the width."""
    clean = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(header, *clean, strict=True)]
    stream = sys.stderr if err else sys.stdout
    limit = shutil.get_terminal_size().columns if stream.isatty() else 0
    for row in ([name.upper() for name in header], *clean):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = line.rstrip()
        if limit and len(line) > limit:
            line = line[: limit - 1] + "…"
        click.echo(line, err=err)
