"""Every promise in docs/claims.md names tests that exist and are switched on (R9)."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "claims.md"
TEST_ID = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@dataclass(frozen=True)
class Claim:
    """One line of the table."""

    id: str
    claim: str
    tests: str
    platforms: str


def claims(text: str) -> list[Claim]:
    """Give the lines of the one table of the page. Raises ValueError for a line with odd cells."""
    found = []
    for line in text.splitlines():
        if not line.startswith("|") or set(line) <= set("|-: ") or line.startswith("| id "):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 4:
            raise ValueError(line)
        found.append(Claim(*cells))
    return found


def flaws(claim: Claim, root: Path) -> list[str]:
    """Give everything that is wrong with one claim."""
    wrong = [name for name in ("id", "claim", "tests", "platforms") if not getattr(claim, name)]
    if not re.fullmatch(r"CLM-\d{2,3}", claim.id):
        wrong.append("the id is not CLM-nn")
    tests = TEST_ID.findall(claim.tests)
    if TEST_ID.sub("", claim.tests).strip(" ,"):
        wrong.append("the tests column holds something that is not a test id")
    for path, name in tests:
        wrong.extend(flaws_of_test(root / path, name))
    return wrong


def flaws_of_test(path: Path, name: str) -> list[str]:
    """Give what is wrong with one named test."""
    if not path.is_file():
        return [f"{path} is not there"]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
            return (
                [f"{name} is switched off"] if re.search(r"\b(skip|skipif|xfail)\b", marks) else []
            )
    return [f"{path} has no {name}"]


@pytest.mark.parametrize("claim", claims(PAGE.read_text()), ids=lambda claim: claim.id)
def test_every_claim_has_its_tests(claim: Claim) -> None:
    """A claim without a living test is advertising."""
    assert flaws(claim, ROOT) == []


def test_ids_of_claims_are_used_once() -> None:
    """An id in an advisory or a doctor's line points to one sentence."""
    ids = [claim.id for claim in claims(PAGE.read_text())]
    assert ids
    assert len(ids) == len(set(ids))


def test_a_claim_without_a_living_test_is_found(tmp_path: Path) -> None:
    """Guard off: missing file, missing function, switched-off test, no test, a bare word."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        "import pytest\n\n@pytest.mark.skip\ndef test_off(): ...\n\ndef test_on(): ...\n"
    )

    def wrong(tests: str) -> list[str]:
        line = Claim(id="CLM-01", claim="c", tests=tests, platforms="any")
        return flaws(line, tmp_path)

    assert wrong("`tests/test_a.py::test_on`") == []
    assert wrong("`tests/test_b.py::test_on`")
    assert wrong("`tests/test_a.py::test_gone`")
    assert wrong("`tests/test_a.py::test_off`")
    assert wrong("")
    assert wrong("by hand")
