"""The demo from end to end, as a person sees it."""

import json
from pathlib import Path

import pytest

from ringfence.apps.replay.demo import demo


@pytest.mark.box
def test_the_demo_shows_every_attack_held(tmp_path: Path) -> None:
    """Guard off: all land. Guard on: none, with rule and reason, a report and a verified log."""
    lines: list[str] = []
    assert demo(lines.append, tmp_path / "demo", json=False) == 0, "\n".join(lines)
    text = "\n".join(lines)
    assert text.count("LANDED") == 6
    assert "audit verify: ok" in text
    report = next(line for line in lines if line.startswith("report: "))
    assert Path(report.removeprefix("report: ")).is_file()


@pytest.mark.box
def test_the_demo_speaks_json(tmp_path: Path) -> None:
    """With ``--json`` there is one line, and it is the result."""
    lines: list[str] = []
    assert demo(lines.append, tmp_path / "demo", json=True) == 0, "\n".join(lines)
    (line,) = lines
    body = json.loads(line)
    assert body["passed"]
    assert body["verified"]
    assert all(attack["off"] and attack["on"] is False for attack in body["attacks"])
