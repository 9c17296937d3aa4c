"""Run every benchmark in one go, with a line about the machine they ran on."""

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Run the benchmarks one after the other; fail when one fails."""
    print(
        f"machine: {os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()},"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    failed = False
    for script in sorted((ROOT / "benchmarks").glob("*.py")):
        print(f"\n== {script.stem}", flush=True)
        done = subprocess.run([sys.executable, str(script)], cwd=ROOT, check=False)
        failed = failed or done.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
