"""The table of replays: every scenario by its id, run the same way."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ringfence.apps.replay import s11, s13, s14, s20
from ringfence.apps.replay.addresses import Addresses
from ringfence.apps.replay.harness import Scenario, replay
from ringfence.apps.replay.result import ScenarioResult

Runner = Callable[[Path, Addresses], ScenarioResult]


def _twice(scenario: Scenario) -> Runner:
    return lambda directory, addresses: replay(scenario, directory, addresses)


SCENARIOS: Mapping[str, Runner] = {
    "s11": _twice(s11.SCENARIO),
    "s13": _twice(s13.SCENARIO),
    "s14": _twice(s14.SCENARIO),
    "s20": s20.run,
}


def run_scenario(name: str, directory: Path, addresses: Addresses | None = None) -> ScenarioResult:
    """Run one scenario, both halves, below an empty directory.

    Raises KeyError for an unknown name, VoidScenario when an attack does not work without the
    guard, Unavailable when a port is taken or the product does not answer.
    """
    return SCENARIOS[name](directory, addresses or Addresses())
