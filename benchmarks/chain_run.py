"""A chain of three trivial agents beside the same three commands as plain subprocesses.

``run`` is the time from the run's first to its last audit record: boxes, broker, engine, record.
``command`` is the whole of ``ringfence run``, which also starts and stops what a run needs.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROUNDS = 8
NAMES = ("one", "two", "three")


def chain() -> str:
    """Give the chain file."""
    events = ["chain:start", "one:done", "two:done", "chain:complete"]
    agents = [
        {
            "name": name,
            "type": "script",
            "run": ["true"],
            "triggers": [events[index]],
            "emits": [events[index + 1]],
        }
        for index, name in enumerate(NAMES)
    ]
    return json.dumps({"name": "bench", "agents": agents})


def plain() -> float:
    """Run the three commands without anything around them; milliseconds."""
    begin = time.perf_counter()
    for _ in NAMES:
        subprocess.run(["true"], check=True)
    return (time.perf_counter() - begin) * 1_000


def guarded(work: Path) -> tuple[float, float]:
    """Run the chain; milliseconds of the run itself and of the whole command."""
    cli = [sys.executable, "-m", "ringfence.apps.cli", "--data-dir", str(work / "data")]
    begin = time.perf_counter()
    done = subprocess.run(
        [*cli, "run", str(work / "chain.json"), "--json"],
        capture_output=True,
        check=True,
    )
    whole = (time.perf_counter() - begin) * 1_000
    run = json.loads(done.stdout)["run"]
    shown = subprocess.run(
        [*cli, "audit", "show", "--run", run, "--json"], capture_output=True, check=True
    )
    times = [datetime.fromisoformat(json.loads(x)["time"]) for x in shown.stdout.splitlines()]
    steps = [
        datetime.fromisoformat(r["time"])
        for r in map(json.loads, shown.stdout.splitlines())
        if r["event"] == "step.start"
    ]
    return (times[-1] - steps[0]).total_seconds() * 1_000, whole


def main() -> int:
    """Print medians and what Ringfence adds."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "chain.json").write_text(chain())
        guarded(work)
        pairs = [(plain(), *guarded(work)) for _ in range(ROUNDS)]
    bare, run, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"three commands, plain subprocesses   {bare:8.1f} ms")
    print(f"the run, first step to last record   {run:8.1f} ms   added {run - bare:8.1f} ms")
    print(f"the command, cold start to exit      {whole:8.1f} ms   added {whole - bare:8.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
