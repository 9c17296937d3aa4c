"""The broker's entry: one argument, nothing from the environment."""

import subprocess
import sys


def test_it_needs_its_control_socket() -> None:
    """Without one it does not start, whatever the environment says."""
    for argv in ([], ["nonsense"], ["99"]):
        done = subprocess.run(
            [sys.executable, "-I", "-m", "ringfence.apps.broker", *argv],
            env={"CONTROL_FD": "0"}, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode != 0
