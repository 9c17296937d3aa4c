"""What the events and files of a chain may be."""

from collections.abc import Callable

import pytest

from ringfence.chain.parse import ChainRejected
from ringfence.chain.words import Chain

Load = Callable[..., Chain]
Faults = Callable[..., list[str]]


def chain(*agents: str, more: str = "") -> str:
    """Give a chain as YAML; each agent is one flow mapping, on lines 3, 4, ..."""
    lines = "".join(f"  - {{prompt: x, {agent}}}\n" for agent in agents)
    return f"name: drawn\nagents:\n{lines}{more}"


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        (
            ["name: a, triggers: chain:strat, emits: chain:complete"],
            ["unknown-trigger 3:36"],
        ),
        (["name: a, triggers: chain:start, emits: a:done"], ["no-end 2:1"]),
        (
            ["name: a, triggers: chain:start, emits: [chain:start, chain:complete]"],
            ["reserved-event 3:57"],
        ),
        (
            ["name: a, triggers: chain:start, emits: [chain:failed, chain:complete]"],
            ["reserved-event 3:57"],
        ),
        (
            ["name: a, triggers: chain:start, emits: [review:approved, chain:complete]"],
            ["reserved-event 3:57"],
        ),
        (
            ["name: a, triggers: chain:start, emits: chain:complete, on_error: chain:complete"],
            ["reserved-event 3:82"],
        ),
        (
            ["name: a, triggers: chain:start, emits: [a:ok, chain:complete], on_error: a:ok"],
            ["reserved-event 3:90"],
        ),
        (
            [
                "name: a, triggers: chain:start, emits: chain:complete",
                "name: b, triggers: chain:complete, emits: b:done",
            ],
            ["never-starts 4:36"],
        ),
        (
            [
                "name: a, triggers: chain:start, emits: chain:complete",
                "name: a, triggers: chain:start, emits: a:done",
            ],
            ["duplicate-agent 4:23"],
        ),
        (
            [
                "name: a, triggers: [chain:start, c:done], emits: a:done",
                "name: b, triggers: a:done, emits: [b:done, chain:complete]",
                "name: c, triggers: b:done, emits: c:done",
            ],
            ["cycle 3:36"],
        ),
        (
            ["name: a, triggers: [chain:start, a:done], emits: [a:done, chain:complete]"],
            ["cycle 3:36"],
        ),
        (
            [
                "name: a, triggers: chain:start, emits: x:done",
                "name: b, triggers: chain:start, emits: x:done",
                "name: c, triggers: x:done, emits: chain:complete",
            ],
            ["two-sources 4:56"],
        ),
        (
            [
                "name: a, triggers: chain:start, emits: chain:complete, on_error: x:bad",
                "name: b, triggers: chain:start, emits: x:bad",
            ],
            ["two-sources 4:56"],
        ),
        (  # an agent after a rejection does not say what only a person may say
            [
                "name: r, type: review, triggers: chain:start, emits: [r:yes, r:no]",
                "name: b, triggers: r:no, emits: r:yes",
                "name: c, triggers: r:yes, emits: chain:complete",
            ],
            ["two-sources 4:49"],
        ),
        (
            [
                "name: g, type: gate, triggers: chain:start, emits: [g:yes, g:no]",
                "name: b, triggers: [g:yes, g:no], emits: chain:complete",
            ],
            ["never-starts 4:36"],
        ),
        (
            ["name: a, triggers: chain:start, emits: chain:complete, input: nope.txt"],
            ["unknown-input 3:79"],
        ),
        (
            [
                "name: a, triggers: chain:start, emits: a:done, output: f",
                "name: b, triggers: chain:start, emits: chain:complete, input: f",
            ],
            ["input-not-ready 4:79"],
        ),
        (
            ["name: a, triggers: chain:start, emits: chain:complete, output: f, input: f"],
            ["input-not-ready 3:90"],
        ),
        (
            [
                "name: a, triggers: chain:start, emits: a:done, on_error: a:bad, output: f",
                "name: b, triggers: a:bad, emits: a:done",
                "name: c, triggers: a:done, emits: chain:complete, input: f",
            ],
            ["input-not-ready 5:74"],
        ),
        (
            [
                "name: a, triggers: chain:start, emits: a:done, output: f",
                "name: b, triggers: a:done, emits: chain:complete, output: f",
            ],
            ["two-sources 4:75"],
        ),
    ],
)
def test_bad_graphs_have_their_place(faults: Faults, agents: list[str], said: list[str]) -> None:
    """One fault, named at the word that makes it."""
    assert faults(chain(*agents)) == said


def test_a_cycle_is_named(load: Load) -> None:
    """The way round, from the agent that stands first in the file."""
    with pytest.raises(ChainRejected, match="each other: a -> b -> c -> a"):
        load(
            chain(
                "name: a, triggers: [chain:start, c:done], emits: a:done",
                "name: b, triggers: a:done, emits: [b:done, chain:complete]",
                "name: c, triggers: b:done, emits: c:done",
            )
        )


def test_an_unknown_output_of_the_chain_is_refused(faults: Faults) -> None:
    """The result has to be somebody's output."""
    text = chain(
        "name: a, triggers: chain:start, emits: chain:complete, output: f", more="outputs: [f, g]\n"
    )
    assert faults(text) == ["unknown-output 4:14"]


@pytest.mark.parametrize(
    "agents",
    [
        [  # a fallback stands in for what failed
            "name: a, triggers: chain:start, emits: x:done, on_error: a:bad, output: f",
            "name: b, triggers: a:bad, emits: x:done, output: f",
            "name: c, triggers: x:done, emits: chain:complete, input: f",
        ],
        [  # the two ends of a gate meet again
            "name: g, type: gate, triggers: chain:start, emits: [g:yes, g:no]",
            "name: b, triggers: g:yes, emits: x:done, output: f",
            "name: c, triggers: g:no, emits: c:done",
            "name: d, triggers: c:done, emits: x:done, output: f",
            "name: e, triggers: x:done, emits: chain:complete, input: f",
        ],
        [  # a review that fails and one that breaks go the same way
            "name: r, type: review, triggers: chain:start, emits: [review:ok, r:no]",
            "name: b, triggers: review:ok, emits: chain:complete",
            "name: c, triggers: r:no, emits: chain:complete",
        ],
        [  # a gate that cannot be asked counts as not passed
            "name: g, type: gate, triggers: chain:start, emits: [g:yes, g:no], on_error: g:no",
            "name: b, triggers: g:yes, emits: chain:complete",
            "name: c, triggers: g:no, emits: chain:complete",
        ],
        [  # one handler for the failures of several
            "name: a, triggers: chain:start, emits: a:done, on_error: any:bad",
            "name: b, triggers: chain:start, emits: b:done, on_error: any:bad",
            "name: c, triggers: [a:done, b:done], emits: chain:complete",
            "name: d, triggers: any:bad, emits: chain:complete",
        ],
        [  # a second gate may give the same verdict after the first has not
            "name: g, type: gate, triggers: chain:start, emits: [g:yes, g:no]",
            "name: b, triggers: g:no, emits: b:mended",
            "name: h, type: gate, triggers: b:mended, emits: [g:yes, h:no]",
            "name: c, triggers: g:yes, emits: chain:complete",
        ],
        [  # nobody listens to a failure: then the run fails
            "name: a, triggers: chain:start, emits: chain:complete, on_error: a:bad",
        ],
    ],
)
def test_one_event_may_have_sources_that_exclude_each_other(load: Load, agents: list[str]) -> None:
    """What can happen only once in a run is one event, whoever causes it."""
    assert load(chain(*agents)).name == "drawn"
