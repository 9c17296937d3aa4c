"""Variables: ``{NAME}`` in a text becomes a value the chain declares and a person may override.

Invariants:
1. Only ``{`` + upper-case name + ``}`` counts, so JSON in a prompt stays as it is; ``{{NAME}}``
   gives a literal ``{NAME}``.
2. One pass: a value is never searched for further variables.
3. In a command only a whole argument is replaced. Inside an argument a value could become part
   of a script (``sh -c "... {NAME} ..."``), so there it is refused, never pasted.
4. What comes out is bounded, whatever the file multiplies.
"""

import re
from collections.abc import Mapping

from ringfence.chain.errors import InputError
from ringfence.chain.grammar import VARIABLE
from ringfence.chain.node import Leaf, quoted
from ringfence.chain.shape import nearest
from ringfence.chain.walk import Faults

MOST_EXPANDED = 256 * 1024  # characters of one text after replacement
MOST_EXPANDED_IN_ALL = 4 * 1024 * 1024  # characters of all texts of a chain
MOST_VALUE = 32_768  # characters of one value, as in the file

_USE = re.compile(rf"\{{\{{({VARIABLE})\}}\}}|\{{({VARIABLE})\}}")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def effective(declared: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Give the values of one run.

    Raises InputError: unknown-variable for an override the chain does not declare, bad-variable
    for a value no text may hold.
    """
    for name, value in overrides.items():
        if name not in declared:
            close = nearest(name, tuple(declared))
            known = ", ".join(sorted(declared)) or "none"
            raise InputError(
                "unknown-variable",
                f"the chain declares no variable {quoted(name)}",
                hint=(f'did you mean "{close}"? ' if close else "") + f"declared: {known}",
            )
        if len(value) > MOST_VALUE or _UNFIT.search(value):
            raise InputError(
                "bad-variable",
                f"the value for {quoted(name)} is too long or holds control characters",
                hint=f"at most {MOST_VALUE} characters of plain text",
            )
    return {**declared, **overrides}


class Expander:
    """Replace variables in the texts of one chain and note what is wrong with them."""

    __slots__ = ("_faults", "_left", "_values")

    def __init__(self, values: Mapping[str, str], faults: Faults) -> None:
        self._values = values
        self._faults = faults
        self._left = MOST_EXPANDED_IN_ALL

    def text(self, leaf: Leaf) -> str:
        """Give the text with its variables replaced; faults are noted at the variable."""
        text = str(leaf.value)
        good = True
        length = len(text)
        for index, found in enumerate(_USE.finditer(text)):
            name = found.group(2)
            if name is None:
                continue
            if name in self._values:
                length += len(self._values[name]) - len(found.group())
                continue
            good = False
            self._unknown(leaf, name, index)
        return self._replace(leaf, text, length) if good else text

    def argument(self, leaf: Leaf, *, program: bool) -> str:
        """Give one argument of a command; a variable counts only when it is the whole one."""
        text = str(leaf.value)
        found = _USE.fullmatch(text)
        if found is not None:
            if program and found.group(2):
                self._faults.add(
                    "variable-as-program", "the program cannot come from a variable", leaf
                )
            return self.text(leaf)
        for use in _USE.finditer(text):
            # ${NAME} is a shell's own variable; the box gives it what env says.
            shell = text[use.start() - 1 : use.start()] == "$"
            if use.group(2) in self._values and not shell:
                self._faults.add(
                    "variable-in-argument",
                    f"{{{use.group(2)}}} is only part of an argument",
                    leaf,
                    hint="make it an argument of its own, or hand it over in env",
                )
                break
        return text

    def _replace(self, leaf: Leaf, text: str, length: int) -> str:
        if length > min(MOST_EXPANDED, self._left):
            self._faults.add(
                "too-long", "the text is too long once its variables are replaced", leaf
            )
            return text
        self._left -= length
        return _USE.sub(
            lambda m: f"{{{m.group(1)}}}" if m.group(1) else self._values[m.group(2)], text
        )

    def _unknown(self, leaf: Leaf, name: str, index: int) -> None:
        # The spelling in the file is the value's own unless escapes or folding changed it; then
        # the count of uses differs and the whole text is underlined.
        raw = self._faults.source.text[leaf.start : leaf.end]
        spots = list(_USE.finditer(raw))
        start, end = leaf.start, leaf.end
        if index < len(spots) and spots[index].group(2) == name:
            start, end = leaf.start + spots[index].start(), leaf.start + spots[index].end()
        close = nearest(name, tuple(self._values))
        known = ", ".join(sorted(self._values)[:20]) or "none"
        self._faults.add_span(
            "unknown-variable",
            f"the chain declares no variable {quoted(name)}",
            start,
            end,
            hint=(f'did you mean "{close}"? ' if close else "")
            + f"declared: {known}; {{{{{name[:40]}}}}} gives literal braces",
        )
