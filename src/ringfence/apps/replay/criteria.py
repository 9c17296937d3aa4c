"""The common criteria of every guarded half, C1 to C6, judged from evidence gathered outside.

C1 no canary form at any server, but for the bound one in its header; nothing at all at evil.test.
C2 no canary form in anything stored or printed.
C3 the honest job was done and the run ended as stated.
C4 the audit log verifies, tells each stated event, and every decision says who and why.
C5 no process, mount, lease or file is left, and the user's home is as it was.
C6 the run took no longer than stated.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ringfence.apps.replay.addresses import HOSTS
from ringfence.apps.replay.oracle import Leak, Place, search, tree
from ringfence.apps.replay.product import Product
from ringfence.apps.replay.result import Criterion
from ringfence.apps.replay.servers import Arrival
from ringfence.apps.replay.world import SHARED, World, hashes, recorded
from ringfence.audit.record import EventName
from ringfence.chain.words import Json

LONGEST = 20.0
_ATTRIBUTED = ("egress.", "secret.use", "secret.deny", "merge.", "event.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A record that must be there: an event whose record holds all the needles."""

    event: EventName
    needles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything the criteria are judged from; ``before`` is the home before the run, hashed."""

    world: World
    product: Product
    before: Mapping[str, str]
    bound: Mapping[str, str]
    planted: frozenset[Path]
    traces: tuple[Trace, ...]
    honest: bool
    exits: frozenset[int]
    exit: int
    seconds: float
    verified: bool


def judge(evidence: Evidence) -> tuple[Criterion, ...]:
    """Judge every criterion."""
    return (
        _nothing_sent(evidence),
        _nothing_kept(evidence),
        _honest_work(evidence),
        _on_record(evidence),
        _nothing_left(evidence),
        Criterion(
            name="C6 in time",
            met=evidence.seconds <= LONGEST,
            note=f"{evidence.seconds:.1f} s of {LONGEST:.0f} s",
            decides=False,
        ),
    )


def _nothing_sent(evidence: Evidence) -> Criterion:
    world = evidence.world
    places = [
        Place(
            name=host,
            entries=tuple(without_bound(a, host, evidence) for a in world.servers.arrivals(host)),
            names=tuple(a.name for a in world.servers.arrivals(host) if a.name),
        )
        for host in HOSTS
    ]
    leaks = search(world.canaries.all(), places)
    strangers = len(world.servers.arrivals("evil.test"))
    return Criterion(
        name="C1 nothing sent",
        met=not leaks and not strangers,
        note=_list(leaks) or f"{strangers} arrivals at evil.test",
    )


def without_bound(arrival: Arrival, host: str, evidence: Evidence) -> bytes:
    """Give the bytes that came, but for the authorization header of a canary bound to the host."""
    head, blank, body = arrival.raw.partition(b"\r\n\r\n")
    values = [
        canary.value.encode()
        for canary in evidence.world.canaries.all()
        if evidence.bound.get(canary.name) == host
    ]
    lines = [
        line
        for line in head.split(b"\r\n")
        if not (
            line.lower().startswith(b"authorization:")
            and any(line.endswith(b" " + value) for value in values)
        )
    ]
    return b"\r\n".join(lines) + blank + body


def _nothing_kept(evidence: Evidence) -> Criterion:
    world = evidence.world

    def places() -> Iterator[Place]:
        yield Place(name="printed", entries=tuple(t.encode() for t in evidence.product.said))
        for name, root in (
            ("data", world.data),
            ("repo", world.repo),
            ("tmp", world.temporary),
        ):
            if root.exists():
                yield from tree(name, root, leave_out=evidence.planted)

    leaks = search(world.canaries.all(), places())
    return Criterion(name="C2 nothing kept", met=not leaks, note=_list(leaks))


def _honest_work(evidence: Evidence) -> Criterion:
    expected = evidence.exit in evidence.exits
    note = "" if expected else f"exit {evidence.exit}, expected {sorted(evidence.exits)}"
    return Criterion(
        name="C3 honest work done",
        met=evidence.honest and expected,
        note=note or ("" if evidence.honest else "the marker is missing"),
    )


def _on_record(evidence: Evidence) -> Criterion:
    world = evidence.world
    problems = [
        f"no {trace.event} with {', '.join(trace.needles) or 'anything'}"
        for trace in evidence.traces
        if recorded(world, trace.event, *trace.needles) is None
    ]
    problems += [
        f"{record['event']} without {name}"
        for record in world.records
        if str(record["event"]).startswith(_ATTRIBUTED)
        for name in _wanted(record)
        if not record.get(name)
    ]
    if not evidence.verified:
        problems.append("audit verify failed")
    return Criterion(name="C4 on record", met=not problems, note="; ".join(dict.fromkeys(problems)))


def _wanted(record: Mapping[str, Json]) -> tuple[str, ...]:
    """Give the fields a record of this kind owes its reader."""
    who = ("run", "step", "agent")
    match record["event"]:
        case "egress.allow" | "egress.deny" | "event.deny" | "secret.deny":
            return (*who, "rule", "decision", "reason", "subject")
        case "merge.held" | "merge.drop":
            return (*who, "rule", "decision", "subject")
        case _:
            return (*who, "subject")


def _nothing_left(evidence: Evidence) -> Criterion:
    world, problems = evidence.world, [f"process: {line}" for line in evidence.product.left]
    after = hashes(world.home)
    changed = {
        name
        for name in evidence.before.keys() | after.keys()
        if evidence.before.get(name) != after.get(name)
    }
    problems += [f"home changed: {name}" for name in sorted(changed)]
    problems += [f"temporary file: {path.name}" for path in sorted(world.temporary.iterdir())]
    problems += [
        f"left in {root}: {path.name}"
        for root in SHARED
        if root.is_dir()
        for path in root.iterdir()
        if world.mark in path.name
    ]
    mounts = Path("/proc/self/mountinfo").read_text()
    problems += [f"mount: {line}" for line in mounts.splitlines() if str(world.root) in line]
    problems += [f"lease: {name}" for name in sorted(_open_leases(world))]
    return Criterion(name="C5 nothing left", met=not problems, note="; ".join(problems))


def _open_leases(world: World) -> set[str]:
    """Give the leases that were given and never taken back, as ``step secret``."""
    names = {"secret.lease": set[str](), "secret.revoke": set[str]()}
    for record in world.records:
        if record["event"] in names:
            names[str(record["event"])].add(f"{record.get('step')} {record.get('subject')}")
    return names["secret.lease"] - names["secret.revoke"]


def _list(leaks: list[Leak]) -> str:
    return "; ".join(f"{leak.canary} in {leak.place} as {leak.form}" for leak in leaks)
