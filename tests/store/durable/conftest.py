"""Both durable engines under one name, each with a journal that outlives it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.store.durable.dbos_engine import DbosEngine
from ringfence.store.durable.memory import MemoryEngine, MemoryJournal

KEY = bytes(range(32))


class Lives:
    """Engines over one journal, one at a time; each gets the same workflows."""

    def __init__(self, build: Callable[[str], Any]) -> None:
        self._build = build
        self._workflows: dict[str, Callable[[Any, Any], Any]] = {}
        self.engine: Any = None

    def workflow(self, fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Register a function under its own name for every life."""
        self._workflows[fn.__name__] = fn
        return fn

    def begin(self, executor: str = "run:1") -> Any:
        """Close the engine before, if any, and launch the next."""
        self.end()
        self.engine = self._build(executor)
        for name, fn in self._workflows.items():
            self.engine.register(name, fn)
        self.engine.launch()
        return self.engine

    def end(self) -> None:
        """Close the engine that runs."""
        if self.engine is not None:
            self.engine.close()


@pytest.fixture(params=["memory", "dbos"])
def lives(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lives]:
    """Give the lives of one journal, for each kind of engine."""
    journal = MemoryJournal()

    def build(executor: str) -> Any:
        if request.param == "memory":
            return MemoryEngine(journal, executor=executor)
        return DbosEngine(tmp_path, key=KEY, executor=executor, pool="all")

    lives = Lives(build)
    yield lives
    lives.end()


@pytest.fixture
def install_key() -> bytes:
    """Give the key the engines of these tests seal with."""
    return KEY
