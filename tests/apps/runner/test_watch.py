"""The watcher delivers what people said, and what time says for them."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.box
Agent = Callable[..., dict[str, object]]

ASK = {
    "name": "ask", "type": "review", "triggers": ["chain:start"], "emits": ["a:ok"],
    "prompt": "Go on?",
}  # fmt: skip


def expire(person: Any, when: datetime) -> None:
    """Move the end of every question."""
    database = sqlite3.connect(person.data / "state.sqlite", isolation_level=None)
    assert database.execute("UPDATE reviews SET expires = ?", (when.isoformat(),)).rowcount > 0
    database.close()


def test_a_question_nobody_answered_in_time_is_a_no(person: Any, agent: Agent) -> None:
    """Guard off: resumed before its end the run waits on. After it the run fails, on the record."""
    done = person("run", person.chain(ASK, agent("go", "", triggers=["a:ok"])), "--json")
    assert done.code == 5, done.err
    run, review = done.json["run"], done.json["reviews"][0]["id"]
    assert person("runs", "resume", run, "--json").json["status"] == "waiting"
    expire(person, datetime.now(UTC) - timedelta(seconds=1))
    late = person("review", "approve", review, "--reason", "sorry")
    assert late.code == 4
    assert "review-expired" in late.err
    resumed = person("runs", "resume", run, "--json")
    assert (resumed.code, resumed.json["status"]) == (1, "failed"), resumed.err
    records = person.records(run)
    assert [r["subject"] for r in records if r["event"] == "review.expire"] == [review]
    assert "go" not in {r.get("agent") for r in records if r["event"] == "step.start"}
    shown = person("review", "list", "--all", "--json").json["reviews"]
    assert [r["status"] for r in shown] == ["expired"]


def test_two_questions_are_answered_one_by_one(person: Any, agent: Agent) -> None:
    """The first answer moves one branch, the run rests again, the second ends it."""
    second = {**ASK, "name": "again", "emits": ["b:ok"]}
    chain = person.chain(ASK, second, agent("join", "", triggers=["a:ok", "b:ok"]))
    done = person("run", chain, "--json")
    ids = [r["id"] for r in done.json["reviews"]]
    assert len(ids) == 2
    one = person("review", "approve", ids[0], "--reason", "yes", "--json")
    assert (one.code, one.json["status"]) == (5, "waiting"), one.err
    two = person("review", "approve", ids[1], "--reason", "yes", "--json")
    assert (two.code, two.json["status"]) == (0, "succeeded"), two.err
