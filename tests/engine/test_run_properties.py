"""What holds for every chain and every order of events."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.chain.errors import Position
from ringfence.chain.words import Agent, AgentType, Chain, ChainLimits, Retry
from ringfence.engine.commands import AskReview, Command, EmitEvent, FinishRun, StartStep
from ringfence.engine.events import (
    CancelRequested,
    Event,
    GateFailed,
    ReviewDecided,
    ReviewExpired,
    Started,
    StepFailed,
    StepSucceeded,
    StepTimedOut,
    TimerFired,
)
from ringfence.engine.run import Run

WHERE = Position(file="t", line=1, column=1)


@st.composite
def chains(draw: Any) -> Chain:
    """Draw an acyclic chain: an agent listens only to earlier ones; some events nobody emits."""
    size = draw(st.integers(1, 6))
    agents = []
    for index in range(size):
        earlier = [f"e{i}:{j}" for i in range(index) for j in (0, 1)]
        known = ["chain:start", "never:sent", *earlier]
        emits = [f"e{index}:0", f"e{index}:1", "chain:complete"]
        agents.append(
            Agent(
                name=f"a{index}",
                type=draw(st.sampled_from([AgentType.SCRIPT, AgentType.GATE, AgentType.REVIEW])),
                triggers=tuple(draw(st.lists(st.sampled_from(known), max_size=3, unique=True))),
                emits=tuple(draw(st.lists(st.sampled_from(emits), max_size=3, unique=True))),
                retry=Retry(max_attempts=draw(st.integers(1, 3))),
                on_error=draw(st.sampled_from([None, "chain:complete", f"e{index}:1"])),
                review=draw(st.sampled_from(["on-failure", "always"])),
                where=WHERE,
            )
        )
    limits = ChainLimits(concurrency=draw(st.integers(1, 4)))
    return Chain(name="t", agents=tuple(agents), limits=limits, digest="", file="t")


NAMES = st.sampled_from([f"a{i}" for i in range(6)])
ATTEMPTS = st.integers(1, 3)
NAMED = [f"e{i}:{j}" for i in range(6) for j in (0, 1)]
EMITTED = st.lists(st.sampled_from(["chain:complete", "chain:start", *NAMED]), max_size=4).map(
    tuple
)
REVIEWS = st.builds("{}#{}".format, NAMES, ATTEMPTS)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(StepSucceeded, agent=NAMES, attempt=ATTEMPTS, emitted=EMITTED),
    st.builds(
        StepFailed, agent=NAMES, attempt=ATTEMPTS, retryable=st.booleans(), reason=st.just("x")
    ),
    st.builds(StepTimedOut, agent=NAMES, attempt=ATTEMPTS),
    st.builds(GateFailed, agent=NAMES, attempt=ATTEMPTS),
    st.builds(ReviewDecided, review=REVIEWS, approved=st.booleans()),
    st.builds(ReviewExpired, review=REVIEWS),
    st.builds(TimerFired, key=st.builds("retry:{}#{}".format, NAMES, ATTEMPTS)),
    st.just(Started()),
    st.just(CancelRequested(by="me", reason="x")),
)
# A cancelled run is over soon, so most sequences do without.
LIVELY = EVENTS.filter(lambda e: not isinstance(e, CancelRequested))
SEQUENCES = st.one_of(st.lists(LIVELY, max_size=40), st.lists(EVENTS, max_size=40))
RUNS = settings(max_examples=300, deadline=None)


def replay(chain: Chain, events: list[Event]) -> list[list[Command]]:
    """Give the commands of each event."""
    run = Run(chain)
    return [run.handle(event) for event in [Started(), *events]]


@RUNS
@given(chains(), SEQUENCES)
def test_nobody_starts_before_all_triggers_were_emitted(chain: Chain, events: list[Event]) -> None:
    """Neither a step nor a review begins while one of its triggers is missing."""
    emitted = {"chain:start"}
    for command in [c for batch in replay(chain, events) for c in batch]:
        match command:
            case EmitEvent():
                emitted.add(command.event)
            case StartStep() | AskReview():
                triggers = set(chain.agent(command.agent).triggers)
                assert triggers
                assert triggers <= emitted


@RUNS
@given(chains(), SEQUENCES)
def test_emitted_events_belong_to_their_agent(chain: Chain, events: list[Event]) -> None:
    """What is emitted stands in the agent's `emits` or is its `on_error`, never `chain:start`."""
    for command in [c for batch in replay(chain, events) for c in batch]:
        if isinstance(command, EmitEvent):
            agent = chain.agent(command.by)
            assert command.event in {*agent.emits, agent.on_error} - {"chain:start"}


@RUNS
@given(chains(), SEQUENCES)
def test_an_agent_never_runs_twice_at_once_and_places_are_kept(
    chain: Chain, events: list[Event]
) -> None:
    """A second start of an agent follows the end of the first; attempts count up, bounded."""
    run, running = Run(chain), dict[str, int]()
    attempts = dict.fromkeys((a.name for a in chain.agents), 0)
    for event in [Started(), *events]:
        match event:
            case StepSucceeded() | StepFailed() | StepTimedOut() | GateFailed():
                if running.get(event.agent) == event.attempt:
                    del running[event.agent]
        for command in run.handle(event):
            if isinstance(command, StartStep):
                assert command.agent not in running
                assert command.attempt == attempts[command.agent] + 1
                assert command.attempt <= chain.agent(command.agent).retry.max_attempts
                running[command.agent] = attempts[command.agent] = command.attempt
        assert len(running) <= chain.limits.concurrency


@RUNS
@given(chains(), SEQUENCES)
def test_after_the_end_there_is_silence(chain: Chain, events: list[Event]) -> None:
    """`FinishRun` comes at most once, last in its batch, with nothing running and nothing after."""
    batches = replay(chain, events)
    finishes = [i for i, batch in enumerate(batches) for c in batch if isinstance(c, FinishRun)]
    assert len(finishes) <= 1
    if finishes:
        assert isinstance(batches[finishes[0]][-1], FinishRun)
        assert not any(batches[finishes[0] + 1 :])


@RUNS
@given(chains(), SEQUENCES)
def test_a_replay_gives_the_same_commands(chain: Chain, events: list[Event]) -> None:
    """Nothing but the events decides, and every event may come twice."""
    once = replay(chain, events)
    assert replay(chain, events) == once


@RUNS
@given(chains(), SEQUENCES, st.data())
def test_every_run_comes_to_an_end(chain: Chain, events: list[Event], data: Any) -> None:
    """Whatever happened before, answering what is open ends the run in bounded time."""
    run = Run(chain)
    open_: list[Event] = []
    for event in [Started(), *events]:
        open_ += [answer(c, data) for c in run.handle(event)]
    for _ in range(100):
        if run.finished:
            return
        assert open_, "the run waits for nothing"
        open_ += [answer(c, data) for c in run.handle(open_.pop(0))]
    raise AssertionError("the run does not end")


def answer(command: Command, data: Any) -> Event:
    """Give an event that answers the command."""
    match command:
        case StartStep():
            who = {"agent": command.agent, "attempt": command.attempt}
            return data.draw(
                st.sampled_from(
                    [
                        StepSucceeded(**who, emitted=("chain:complete",)),
                        StepFailed(**who, retryable=True, reason="x"),
                        GateFailed(**who),
                    ]
                )
            )
        case AskReview():
            return ReviewDecided(review=command.review, approved=data.draw(st.booleans()))
        case _:
            return TimerFired(key=getattr(command, "key", "none"))
