"""Measure durable audit appends against what the disk and SQLite give without them.

Run ``python benchmarks/audit_append.py [--seconds 5] [--directory DIR]``. The measurements take
turns in short rounds, because the disk's speed changes under them. The ratios are what to compare
between machines; the rates follow the disk.
"""

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from ringfence.audit.record import EventName, Record
from ringfence.store.audit_log import SqliteAuditLog
from ringfence.store.keys import create_audit_key
from ringfence.store.sqlite import connect

THREADS = 64
ROUNDS = 5
RECORD = Record(
    time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), event=EventName.EGRESS_ALLOW, actor="broker",
    run="7f3a9c", step="writer#1", agent="writer", rule="network.0", decision="allow",
    subject="POST https://api.example:443/v1/things", where="chain.yaml:12:7",
    detail={"id": "1", "host": "api.example", "port": 443, "bytes_up": 512, "secrets": ["token"]},
)  # fmt: skip
DATA = RECORD.canonical()


def alone(act: Callable[[], object], seconds: float) -> tuple[int, float]:
    """Give how often the act was done, one after the other, and the time that took."""
    count, start = 0, perf_counter()
    while (passed := perf_counter() - start) < seconds:
        act()
        count += 1
    return count, passed


def crowd(act: Callable[[], object], seconds: float) -> tuple[int, float]:
    """Give the same for sixty-four threads together."""
    counts: list[int] = []
    start = perf_counter()
    threads = [
        threading.Thread(target=lambda: counts.append(alone(act, seconds)[0]))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), perf_counter() - start


def measure(directory: Path, seconds: float) -> dict[str, float]:
    """Give all rates, a second."""
    path, signer = directory / "audit.sqlite", create_audit_key(directory)
    with (
        (directory / "floor").open("ab", buffering=0) as file,
        closing(connect(directory / "bare.sqlite", durable=True)) as connection,
        closing(SqliteAuditLog(path, signer, create=True)) as log,
    ):
        connection.execute("CREATE TABLE t (data BLOB)")

        def write_and_sync() -> None:
            file.write(DATA)
            os.fdatasync(file.fileno())

        def insert() -> None:
            connection.execute("INSERT INTO t VALUES (?)", (DATA,))

        def append() -> None:
            log.append([RECORD])

        plan = (
            ("write + fdatasync", alone, write_and_sync),
            ("bare SQLite", alone, insert),
            ("append, 1 thread", alone, append),
            ("append, 64 threads", crowd, append),
        )
        done = {label: [0, 0.0] for label, _, _ in plan}
        for _ in range(ROUNDS):
            for label, how, act in plan:
                count, passed = how(act, 0.9 * seconds / ROUNDS / len(plan))
                done[label][0] += count
                done[label][1] += passed
        start = perf_counter()
        result = log.verify()
        if not result.ok:
            raise SystemExit(f"the log does not verify: {result.reason}")
        rates = {label: count / passed for label, (count, passed) in done.items()}
        return rates | {"verify, records": result.size / (perf_counter() - start)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to measure")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as name:
        rates = measure(Path(name), given.seconds)
    disk, sqlite_rate = rates["write + fdatasync"], rates["bare SQLite"]
    out = sys.stdout.write
    out(f"{'':20}{'a second':>10}{'x fdatasync':>13}{'x bare SQLite':>15}\n")
    for label, rate in rates.items():
        out(f"{label:20}{rate:10.0f}{rate / disk:13.2f}{rate / sqlite_rate:15.2f}\n")


if __name__ == "__main__":
    main()
