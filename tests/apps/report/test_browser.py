"""The report in a real browser: accessible in every look, closed to every attempt.

Needs `scripts/browser-setup` once. Without Chromium or the packages these tests fail; with
RINGFENCE_NO_BROWSER=1 they print that they did not run.
"""

import dataclasses
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ringfence.apps.report import page as page_module
from ringfence.apps.report import write_report
from ringfence.control.view import RunView

ROOT = Path(__file__).parents[3]
MODULES = ROOT / "build" / "node"
INSPECT = ROOT / "tests" / "browser" / "inspect.mjs"
SECONDS = 240

Result = dict[str, Any]

pytestmark = pytest.mark.skipif(
    os.environ.get("RINGFENCE_NO_BROWSER") == "1",
    reason="RINGFENCE_NO_BROWSER=1: the report was NOT looked at in a browser",
)


def inspect(*pages: Path) -> list[Result]:
    """Give what the browser met on each page in each look."""
    chromium = shutil.which("chromium")
    node = shutil.which("node")
    assert chromium, "chromium is missing: run scripts/browser-setup, or set RINGFENCE_NO_BROWSER=1"
    assert node, "node is missing: run scripts/browser-setup, or set RINGFENCE_NO_BROWSER=1"
    assert (MODULES / ".installed").is_file(), "run scripts/browser-setup"
    done = subprocess.run(
        [node, str(INSPECT), str(MODULES), chromium, *map(str, pages)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[Result] = json.loads(done.stdout)
    assert len(results) == 5 * len(pages)
    return results


@pytest.fixture(scope="session")
def looked(
    tmp_path_factory: pytest.TempPathFactory, session_views: dict[str, RunView]
) -> list[Result]:
    """Give what the browser met in every sample run; one browser for all test processes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "looked.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cache = shared / "looked.json"
        if not cache.exists():
            folder = tmp_path_factory.mktemp("reports")
            for name, view in session_views.items():
                write_report(view, folder / f"{name}.html")
            cache.write_text(json.dumps(inspect(*sorted(folder.glob("*.html")))))
        results: list[Result] = json.loads(cache.read_text())
        return results


def test_no_look_of_any_report_has_an_accessibility_violation(looked: list[Result]) -> None:
    """axe-core, WCAG 2.2 AA and best practice: light, dark, narrow and print."""
    assert {(r["page"], r["look"]): r["violations"] for r in looked if r["violations"]} == {}
    assert all(r["passed"] > 20 for r in looked)


def test_axe_finds_what_is_wrong(tmp_path: Path) -> None:
    """Guard off: a page with faint text, no language and an unnamed link is reported."""
    bad = tmp_path / "bad.html"
    bad.write_text('<!doctype html><title>x</title><p style="color:#ccc">faint<a href="#x"></a>')
    found = {v["id"] for v in inspect(bad)[0]["violations"]}
    assert {"color-contrast", "html-has-lang", "link-name"} <= found


def test_no_report_asks_for_anything_or_breaks_its_own_policy(looked: list[Result]) -> None:
    """No request but the file itself, no console error (a policy violation is one), no dialog."""
    for result in looked:
        assert result["requests"] == []
        assert result["consoleErrors"] == []
        assert result["dialogs"] == 0


def test_no_page_is_wider_than_its_screen(looked: list[Result]) -> None:
    """At 390 px the page itself never scrolls sideways; only the graph does."""
    assert {(r["page"], r["look"]) for r in looked if r["overflow"] > 0} == set()


def test_dark_is_dark_and_print_is_white(looked: list[Result]) -> None:
    """The looks differ where they should."""
    for result in looked:
        dark = result["look"] in {"dark", "narrow-dark"}
        assert (result["background"] == "rgb(255, 255, 255)") is not dark


def test_one_picture_is_shown_at_a_time(looked: list[Result]) -> None:
    """The upright graph on narrow screens, the level one elsewhere."""
    for result in looked:
        if len(result["hiddenPictures"]) == 2:
            level, upright = result["hiddenPictures"]
            narrow = result["look"].startswith("narrow")
            assert (level == "none", upright == "none") == (narrow, not narrow)


def test_print_unfolds_everything(looked: list[Result]) -> None:
    """Paper has no way to unfold; on a screen folded parts stay folded."""
    for result in looked:
        assert result["folded"] > 0
        assert (result["foldedButShown"] > 0) is (result["look"] == "print")


def test_the_keyboard_reaches_graph_and_steps(looked: list[Result]) -> None:
    """Tab goes through the skip link, the agents in the graph and the folded attempts."""
    (benign,) = [r for r in looked if r["look"] == "light" and r["page"].endswith("benign.html")]
    assert {"A #main", "a #agent-1", "a #agent-4", "SUMMARY "} <= set(benign["focused"])


def test_a_planted_script_does_not_run(
    tmp_path: Path, session_views: dict[str, RunView], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With escaping switched off the page's policy still stops it; without the policy it runs."""
    whole = page_module._environment

    def unguarded() -> Any:
        environment = whole()
        environment.autoescape = False
        return environment

    monkeypatch.setattr(page_module, "_environment", unguarded)
    view = dataclasses.replace(session_views["benign"], chain="<script>window.hit=1</script>")
    page = page_module.render(view)
    held = tmp_path / "held.html"
    held.write_text(page)
    loose = tmp_path / "loose.html"
    loose.write_text(page.replace("Content-Security-Policy", "x-nothing"))
    results = inspect(held, loose)
    assert not any(r["hit"] for r in results if r["page"] == str(held))
    assert all(r["hit"] for r in results if r["page"] == str(loose))
