"""One attempt with real doors: what is lent ends with it, whatever way it ends."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ringfence.apps.opening import open_secrets
from ringfence.apps.runner.step import StepRunner
from ringfence.chain.errors import Refused
from ringfence.engine.events import StepFailed, StepSucceeded
from ringfence.gateway.client import Broker
from ringfence.gateway.settings import BrokerSettings
from ringfence.sandbox.native import NativeBackend

pytestmark = pytest.mark.box
Doors = Callable[..., Any]
VALUE = b"ghp_" + b"Zq7x" * 9


@pytest.fixture
def doors(world: Any) -> Iterator[Doors]:
    """Give a maker of worlds with a real box backend, a real broker and one secret."""
    opened: list[Any] = []

    def make(code: str, **fields: object) -> Any:
        made = world({
            "name": "a", "run": ["sh", "-c", code], "triggers": ["chain:start"],
            "emits": ["chain:complete"], "network": [{"host": "api.test"}],
            "secrets": [{"name": "TOKEN", "host": "api.test", "env": "TOKEN"}], **fields,
        })  # fmt: skip
        with open_secrets(made.data) as vault:
            vault.set("TOKEN", VALUE, actor="user:ana", now=made.now())
        made.backend = NativeBackend(state_dir=made.data.root)
        opened.append(made.backend)
        made.broker = Broker.start(BrokerSettings(), lambda record: made.audit.append([record]))
        opened.append(made)
        return made

    yield make
    for one in opened:
        if isinstance(one, NativeBackend):
            one.close()
        else:
            one.broker.stop()


def events(records: list[dict[str, Any]]) -> list[str]:
    """Give the names of the events in order."""
    return [record["event"] for record in records]


def test_a_lease_ends_with_its_step(doors: Doors, recorded: Any) -> None:
    """While the agent runs the broker holds its step; afterwards it holds none."""
    made = doors("echo up; sleep 0.2")
    opened = made.broker.open_step
    counted: list[int] = []

    def count(*args: Any) -> Any:
        route = opened(*args)
        counted.append(made.broker.stats()["steps"])
        return route

    made.broker.open_step = count
    assert isinstance(StepRunner(made).run(made.chain.agents[0], 1), StepSucceeded)
    assert counted == [1]
    assert made.broker.stats()["steps"] == 0
    told = events(recorded(made))
    assert told.index("secret.lease") < told.index("secret.revoke")


def test_a_lease_ends_with_a_step_that_failed(doors: Doors, recorded: Any) -> None:
    """An exit code is no way to keep a key."""
    made = doors("exit 3")
    event = StepRunner(made).run(made.chain.agents[0], 1)
    assert isinstance(event, StepFailed)
    assert event.reason == "exit code 3"
    assert made.broker.stats()["steps"] == 0
    assert "secret.revoke" in events(recorded(made))


def test_a_step_that_cannot_start_leaves_nothing_open(doors: Doors, recorded: Any) -> None:
    """The box is refused; the step at the broker is closed and the lease given back."""
    made = doors("true")

    def refuse(*args: Any) -> Any:
        raise Refused("isolation-bwrap", "there is no bubblewrap")

    made.backend.start = refuse
    with pytest.raises(Refused):
        StepRunner(made).run(made.chain.agents[0], 1)
    assert made.broker.stats()["steps"] == 0
    assert "secret.revoke" in events(recorded(made))


def test_a_step_is_on_record_before_its_box_exists(doors: Doors, recorded: Any) -> None:
    """Without a durable record nothing starts (R8)."""
    made = doors("true")
    seen: list[list[str]] = []
    start = made.backend.start

    def note(*args: Any) -> Any:
        seen.append(events(recorded(made)))
        return start(*args)

    made.backend.start = note
    StepRunner(made).run(made.chain.agents[0], 1)
    assert "step.start" in seen[0]
    assert "secret.lease" in seen[0]
