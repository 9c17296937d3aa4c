"""What a box costs: from the plan to the agent's first byte, beside bare bubblewrap.

Prints one JSON object: milliseconds (p50 and fastest) for a box with every lock and its broker
socket, for ``bwrap --unshare-all --ro-bind / /`` in the same run, and their ratio. The rounds
alternate and pause, as steps of a chain do; ``burst`` is back to back without a pause, where the
next box could not be prepared in time.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ringfence.engine.box import Stdio
from ringfence.engine.plan import BoxLimits, EnvVar, RunPlan, WorkspacePlan
from ringfence.sandbox import bwrap, tools
from ringfence.sandbox.native import NativeBackend

COMMAND = ("/bin/echo", "x")


def plan(work: WorkspacePlan) -> RunPlan:
    """Give the plan of an agent with a workspace that writes one byte."""
    return RunPlan(
        run="bench",
        agent="echo",
        attempt=1,
        backend="native",
        level="L3",
        argv=COMMAND,
        cwd="/work",
        terminal=False,
        env=(EnvVar(name="PATH", value="/usr/bin:/bin"),),
        mounts=tools.system_mounts(),
        workspace=work,
        routes=(),
        secrets=(),
        limits=BoxLimits(),
    )


def first_byte(start: Callable[[int], Callable[[], None]]) -> float:
    """Start something that writes to a pipe; give the milliseconds until its first byte."""
    read, write = os.pipe()
    began = time.perf_counter()
    end = start(write)
    os.close(write)
    if not os.read(read, 1):
        raise SystemExit("nothing was written: the box did not start")
    took = 1000 * (time.perf_counter() - began)
    end()
    os.close(read)
    return took


def measure(rounds: int, pause: float) -> dict[str, list[float]]:
    """Take both times in turn."""
    found: dict[str, list[float]] = {"box": [], "bwrap": [], "burst": []}
    bare = [bwrap.find().path, "--unshare-all", "--ro-bind", "/", "/", *COMMAND]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "work").mkdir()
        backend = NativeBackend(state_dir=place / "state")
        null = os.open(os.devnull, os.O_RDWR)
        layers = iter(range(10**6))

        def box(write: int) -> Callable[[], None]:
            layer = place / "state" / str(next(layers))
            work = WorkspacePlan(
                directory=str(place / "work"), target="/work", access="write", layer=str(layer)
            )
            held = backend.start(plan(work), Stdio(stdin=null, stdout=write, stderr=write), {})
            return lambda: (held.wait(10), held.close())[1]

        def plain(write: int) -> Callable[[], None]:
            process = subprocess.Popen(bare, env={}, stdout=write)
            return lambda: (process.wait(), None)[1]

        first_byte(box)
        first_byte(plain)
        for _ in range(rounds):
            for name, start in (("bwrap", plain), ("box", box)):
                time.sleep(pause)
                found[name].append(first_byte(start))
        found["burst"] = [first_byte(box) for _ in range(rounds)]
        backend.close()
        os.close(null)
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--pause", type=float, default=0.12)
    options = parser.parse_args()
    found = measure(options.rounds, options.pause)
    middle = {name: statistics.median(times) for name, times in found.items()}
    fastest = {name: min(times) for name, times in found.items()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    result = {
        "machine": f"{machine}, load {os.getloadavg()[0]:.1f}, uid {os.geteuid()}",
        "rounds": options.rounds,
        "p50_ms": {name: round(value, 2) for name, value in middle.items()},
        "min_ms": {name: round(value, 2) for name, value in fastest.items()},
        "ratio_p50": round(middle["box"] / middle["bwrap"], 2),
        "ratio_min": round(fastest["box"] / fastest["bwrap"], 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
