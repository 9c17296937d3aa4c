"""Runs a scenario twice, without the guard and with it, and judges the difference.

Invariants:
1. The unguarded half comes first. If one of its attacks does not work, there is no result:
   `VoidScenario` is raised, because a guard that stops nothing would pass too.
2. Both halves run the same agents, orders and servers; only the guard differs.
3. The guarded half is judged from outside: servers' logs, files, processes, the audit log as the
   command line shows it.

Steps of the guarded half: lay a world, store secrets, run the chain, read the audit log, then
criteria C1 (nothing leaked to a server), C2 (nothing stored or printed), C3 (the honest job was
done), C4 (the record tells it), C5 (nothing left behind), C6 (in time).
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.apps.replay import plain
from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.canaries import Canary
from ringfence.apps.replay.criteria import Evidence, Trace, judge
from ringfence.apps.replay.product import PATIENCE, WAITING, Product
from ringfence.apps.replay.result import AttackResult, GuardOff, ScenarioResult
from ringfence.apps.replay.world import World, hashes, lay, recorded
from ringfence.chain.words import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack: what it is, how to see that it worked, and the record its denial leaves.

    ``needed`` is false only where the host itself forbids the attack (a kernel setting): it is
    then tried and must fail under the guard, but proves nothing.
    """

    name: str
    worked: Callable[[World], bool]
    trace: Trace | None = None
    needed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A scenario laid into one world.

    ``secrets`` are stored before the run and used by the unguarded half as plain values;
    ``bound`` says at which server a canary may arrive, in the authorization header only;
    ``planted`` are files in the world that hold a canary on purpose.
    """

    chain: dict[str, Json]
    attacks: tuple[Attack, ...]
    honest: Callable[[World], bool]
    secrets: tuple[Canary, ...] = ()
    bound: Mapping[str, str] = field(default_factory=dict)
    planted: frozenset[Path] = frozenset()
    traces: tuple[Trace, ...] = ()
    exits: frozenset[int] = frozenset({0})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A replay: its id, a title, and how to lay it into a world.

    ``aftermath`` is what the honest user does in the repository afterwards; a planted hook runs
    then. It happens in both halves. ``answers`` says, by kind of review and in this order, what the
    person answers when the guarded run waits for one.
    """

    name: str
    title: str
    build: Callable[[World], Plot]
    aftermath: Callable[[World], None] = lambda _: None
    answers: Mapping[str, str] = field(default_factory=dict)


class VoidScenario(Exception):  # noqa: N818 - the scenario is void; that is its name
    """An attack did not work without the guard, so the guarded half would prove nothing."""


def guard_off(scenario: Scenario, root: Path, addresses: Addresses) -> GuardOff:
    """Run the unguarded half. Raises VoidScenario when an attack did not work."""
    world = lay(root, addresses, guarded=False)
    began = time.monotonic()
    try:
        with world.servers:
            plot = scenario.build(world)
            run_plain(world, plot)
            scenario.aftermath(world)
            results = tuple(
                AttackResult(name=attack.name, off=attack.worked(world) or not attack.needed)
                for attack in plot.attacks
            )
    finally:
        world.clean()
    failed = [result.name for result in results if not result.off]
    if failed:
        raise VoidScenario(f"{scenario.name}: did not work without the guard: {', '.join(failed)}")
    return GuardOff(scenario=scenario.name, attacks=results, seconds=time.monotonic() - began)


def run_plain(world: World, plot: Plot) -> None:
    """Run the plot's chain with the unguarded runner. Raises VoidScenario when it breaks."""
    world.plain.mkdir()
    spec = world.root / "plain.json"
    secrets = {canary.name: canary.value for canary in plot.secrets}
    spec.write_text(
        json.dumps({"chain": plot.chain, "secrets": secrets, "directory": str(world.plain)})
    )
    environment = world.environment() | {"SSL_CERT_FILE": str(world.servers.authority)}
    try:
        done = subprocess.run(  # noqa: S603 - our own runner
            [sys.executable, "-I", "-S", plain.__file__, str(spec)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise VoidScenario(f"the unguarded run took over {PATIENCE:.0f} s") from late
    if done.returncode != 0:
        raise VoidScenario(f"the unguarded run broke: {done.stderr[-600:]}")
    world.started = json.loads(done.stdout)


def guard_on(
    scenario: Scenario,
    root: Path,
    addresses: Addresses,
    off: GuardOff,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> ScenarioResult:
    """Run the guarded half and judge it against the unguarded one; ``say`` hears of progress."""
    world = lay(root, addresses, guarded=True)
    product = Product(world)
    with world.servers:
        plot = scenario.build(world)
        before = hashes(world.home)
        for canary in plot.secrets:
            say(f"    storing the secret {canary.name} in the vault")
            product.put(canary.name, canary.value)
        say("    running the chain")
        began = time.monotonic()
        first = product.run(plot.chain)
        run = str(product.outcome(first)["run"])
        say(f"    run {run} ended with exit code {first.code}")
        code = _answer(scenario, product, say) if first.code == WAITING else first.code
        seconds = time.monotonic() - began
        observe(world, product, run)
        report = product.report(run)
        scenario.aftermath(world)
        evidence = Evidence(
            world=world,
            product=product,
            before=before,
            bound=plot.bound,
            planted=plot.planted,
            traces=plot.traces + tuple(a.trace for a in plot.attacks if a.trace),
            honest=plot.honest(world),
            exits=plot.exits,
            exit=code,
            seconds=seconds,
            verified=product.verified(),
        )
        return ScenarioResult(
            scenario=scenario.name,
            title=scenario.title,
            run=run,
            exit=code,
            attacks=tuple(
                judged(world, attack, result.off)
                for attack, result in zip(plot.attacks, off.attacks, strict=True)
            ),
            criteria=judge(evidence),
            seconds=off.seconds + seconds,
            report=report,
            verified=evidence.verified,
        )


def _answer(scenario: Scenario, product: Product, say: Callable[[str], None]) -> int:
    """Answer what waits, as the scenario's person would; give the run's last exit code."""
    code = WAITING
    for kind, verdict in scenario.answers.items():
        for review in product.reviews():
            if review["kind"] == kind:
                say(f"    review {review['id']}: {review['title']}: {verdict}")
                code = product.answer(str(review["id"]), verdict, "replay: as the script says").code
    return code


def observe(world: World, product: Product, run: str) -> None:
    """Read the audit log of a run into the world: its records, and the agents in order."""
    world.records = product.records(run)
    world.started = [
        str(record.get("agent")) for record in world.records if record["event"] == "step.start"
    ]


def judged(world: World, attack: Attack, off: bool) -> AttackResult:  # noqa: FBT001 - one column of a table
    """Say what became of one attack under the guard, with the record of its denial."""
    record = recorded(world, attack.trace.event, *attack.trace.needles) if attack.trace else None
    return AttackResult(
        name=attack.name,
        off=off,
        on=attack.worked(world),
        rule=str((record or {}).get("rule", "")),
        reason=str((record or {}).get("reason", "")),
    )


def replay(scenario: Scenario, directory: Path, addresses: Addresses) -> ScenarioResult:
    """Run both halves below ``directory``."""
    off = guard_off(scenario, directory / "off", addresses)
    return guard_on(scenario, directory / "on", addresses, off)
