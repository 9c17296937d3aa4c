"""An error as a person sees it: code, place, the line with a caret under it, hint.

Invariants:
1. Nothing from a file or a name reaches the terminal raw: control, bidirectional, invisible and
   unassigned characters appear as ``<U+202E>`` (CVE-2021-42574, escape sequences).
2. The caret stands under the right cell: tabs, wide and combining characters are counted as a
   terminal shows them.
3. The picture is at most `WIDTH` cells wide however long the line is.

It prints nothing and knows no colours.
"""

import unicodedata

from ringfence.chain.errors import Position, RingfenceError

WIDTH = 100  # cells of file text in a picture
_TAB = 4
_BEFORE = 60  # cells kept to the left of the caret when a line is cut
_CUT = "\N{HORIZONTAL ELLIPSIS}"
# Categories that hide, reorder or are not characters at all.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def render(error: RingfenceError) -> str:
    """Give the text for one error, or for all of them when it carries several; no final newline."""
    several: object = getattr(error, "errors", None)
    if isinstance(several, tuple) and several:
        return "\n\n".join(render(one) for one in several if isinstance(one, RingfenceError))
    lines = [f"error: {plain(error.code)}: {plain(error.message)}"]
    if error.where is not None:
        lines += picture(error.where)
    if error.hint:
        lines.append(f"hint: {plain(error.hint)}")
    return "\n".join(lines)


def picture(where: Position) -> list[str]:
    """Give the place, the line and the caret of a position as lines of text."""
    cells = [_cell(character) for character in where.text]
    column = min(where.column - 1, len(cells))
    first, last = _window(cells, column)
    gutter = " " * len(str(where.line))
    start = sum(width for _, width in cells[first:column])
    stop = min(max(column + where.width, column + 1), max(last, column + 1))
    carets = sum(width for _, width in cells[column:stop]) or 1
    lead, trail = _CUT if first else "", _CUT if last < len(cells) else ""
    text = lead + "".join(shown for shown, _ in cells[first:last]) + trail
    return [
        f"  --> {plain(where.file)}:{where.line}:{where.column}",
        f"{where.line} | {text}".rstrip(),
        f"{gutter} | {' ' * (start + len(lead))}{'^' * carets}",
    ]


def plain(text: str) -> str:
    """Give text as one line without any character that hides or moves what is shown."""
    return "".join(_cell(character)[0] if character != "\t" else " " for character in text)


def _cell(character: str) -> tuple[str, int]:
    """Give how a character is shown and how many cells that takes."""
    if " " <= character <= "~":
        return character, 1
    if character == "\t":
        return " " * _TAB, _TAB
    if unicodedata.category(character) in _HIDDEN:
        shown = f"<U+{ord(character):04X}>"
        return shown, len(shown)
    if unicodedata.combining(character):
        return character, 0
    return character, 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _window(cells: list[tuple[str, int]], column: int) -> tuple[int, int]:
    """Give the first and the one after the last cell to show, with the column inside."""
    total = sum(width for _, width in cells)
    first = 0
    if total > WIDTH:
        before = 0
        first = column
        while first > 0 and before + cells[first - 1][1] <= _BEFORE:
            first -= 1
            before += cells[first][1]
    used, last = 0, first
    while last < len(cells) and used + cells[last][1] <= WIDTH - 2:
        used += cells[last][1]
        last += 1
    return first, last
