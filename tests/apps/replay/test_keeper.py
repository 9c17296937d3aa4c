import json
import subprocess
import sys
from pathlib import Path

from ringfence.apps.replay import keeper


def keep(tmp_path: Path, *argv: str) -> tuple[int, list[str]]:
    """Run a command under the keeper; give exit code and what was left."""
    report = tmp_path / "left.json"
    done = subprocess.run(
        [sys.executable, "-I", "-S", keeper.__file__, str(report), *argv], check=False, timeout=60
    )
    return done.returncode, json.loads(report.read_text())


def test_a_clean_command_leaves_nothing(tmp_path: Path) -> None:
    """The exit code passes through and the list is empty."""
    assert keep(tmp_path, "sh", "-c", "exit 7") == (7, [])


def test_a_signal_is_told_as_a_code(tmp_path: Path) -> None:
    """A command ended by a signal has 128 and the signal's number."""
    assert keep(tmp_path, "sh", "-c", "kill -9 $$") == (137, [])


def test_a_detached_grandchild_is_found_and_ended(tmp_path: Path) -> None:
    """Leaving session and parent does not hide a process from the list."""
    code, left = keep(
        tmp_path, "sh", "-c", "setsid sh -c 'sleep 987 & sleep 987' >/dev/null 2>&1 & exit 0"
    )
    assert code == 0
    assert any("sleep 987" in line for line in left)
    assert not any("sleep 987" in line for _, line in keeper.descendants(1))
