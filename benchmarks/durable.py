"""What durable execution costs: launch, and a run of three trivial steps in child workflows.

Prints one JSON object: milliseconds, p50 over the rounds, for the in-memory twin and for DBOS on
SQLite. With ``--synchronous full`` every commit is flushed, with ``off`` none, for comparison: ours
flushes what has to survive a power cut.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ringfence.chain.words import Json
from ringfence.engine.durable import DurableEngine, WorkflowContext
from ringfence.store.durable import dbos_guard
from ringfence.store.durable.dbos_engine import DbosEngine
from ringfence.store.durable.memory import MemoryEngine, MemoryJournal

ROUNDS = 40
STEPS = 3
DEADLINE = 4e9  # far in the future, as a run's time limit is


def run(ctx: WorkflowContext, _: Json) -> Json:
    """Do what the conductor does for a chain of three: spawn, wait, record."""
    for index in range(STEPS):
        ctx.spawn("step", f"{ctx.id}/{index}", {"run": ctx.id})
        ctx.wait_signal(DEADLINE)
        ctx.step("perform", lambda: None)
    return None


def step(ctx: WorkflowContext, payload: Json) -> Json:
    """Do what a step workflow does, without an agent."""
    run_id = str(payload["run"]) if isinstance(payload, dict) else ""
    ctx.signal(run_id, ctx.step("execute", lambda: "ok"), key=ctx.id)
    return None


def measure(engine: DurableEngine, prefix: str) -> dict[str, float]:
    """Give launch time, the first run and the median of the others."""
    engine.register("run", run)
    engine.register("step", step)
    begun = time.perf_counter()
    engine.launch()
    launch = time.perf_counter() - begun
    times = []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        engine.start("run", f"{prefix}{number}", None)
        engine.wait(f"{prefix}{number}")
        times.append(time.perf_counter() - begun)
    cpu, idle = time.process_time(), time.perf_counter()
    time.sleep(2)
    share = (time.process_time() - cpu) / (time.perf_counter() - idle)
    engine.close()
    figures = {"launch": launch, "first": times[0], "p50": statistics.median(times[1:])}
    return {k: round(v * 1_000, 1) for k, v in figures.items()} | {"idle_cpu": round(share, 4)}


def main() -> int:
    """Measure both engines, DBOS on a new journal and on the same one again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--synchronous", choices=["full", "ours", "off"], default="ours")
    mode = parser.parse_args().synchronous
    if mode != "ours":
        dbos_guard.PRAGMAS["synchronous"] = mode.upper()
        vars(dbos_guard)["flush"] = lambda _: None
    figures = {"memory": measure(MemoryEngine(MemoryJournal(), executor="bench"), "m")}
    with tempfile.TemporaryDirectory() as directory:
        for name in ("dbos_new", "dbos_again"):
            engine = DbosEngine(Path(directory), key=bytes(32), executor="bench", pool="bench")
            figures[name] = measure(engine, name)
    sys.stdout.write(json.dumps({"synchronous": mode, "ms": figures}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
