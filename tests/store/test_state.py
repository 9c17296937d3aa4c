"""Runs, reviews and messages last, and an answer is given once."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ringfence.chain.errors import InputError, Unavailable
from ringfence.control.reviews import Review, ReviewKind, ReviewStatus
from ringfence.control.runs import RunRow, RunStatus
from ringfence.store.state import StateStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROW = RunRow(
    id="r20260102-abcd",
    chain="notes",
    digest="d" * 64,
    file="/x/notes.yaml",
    starter="user:dana",
    status=RunStatus.CREATED,
    created=NOW,
    variables={"AREA": "billing"},
    settings={"wait": False},
)
REVIEW = Review(
    id="v0123456789",
    run=ROW.id,
    agent="gate",
    kind=ReviewKind.GATE,
    title="publish?",
    subject={"inputs": []},
    requested_by="agent:r/gate",
    created=NOW,
    expires=NOW + timedelta(days=1),
    detail={"key": "gate#1"},
)


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    """A store with one run."""
    made = StateStore(tmp_path / "state.sqlite")
    made.add_run(ROW)
    return made


def test_a_run_comes_back_as_it_was_stored(store: StateStore) -> None:
    """Also by a unique prefix of its id."""
    assert store.run(ROW.id) == ROW
    assert store.run("r2026") == ROW


def test_an_ended_run_has_its_end(store: StateStore) -> None:
    """Only final states set the time of the end."""
    store.set_status(ROW.id, RunStatus.WAITING, now=NOW)
    assert store.run(ROW.id).finished is None
    store.set_status(ROW.id, RunStatus.FAILED, reason="why", now=NOW)
    assert (store.run(ROW.id).finished, store.run(ROW.id).reason) == (NOW, "why")


@pytest.mark.parametrize("name", ["r9", "r", "", "%", "_", "r2026%", "r202601__"])
def test_unknown_and_wild_names_are_refused(store: StateStore, name: str) -> None:
    """Not even when only one thing is there to be meant."""
    with pytest.raises(InputError):
        store.run(name)
    store.add_review(REVIEW)
    with pytest.raises(InputError):
        store.review(name)


def test_an_ambiguous_start_of_an_id_is_refused(store: StateStore) -> None:
    """Two runs that begin alike are told apart by more letters."""
    store.add_run(replace(ROW, id="r20260102-wxyz"))
    with pytest.raises(InputError):
        store.run("r2026")
    assert store.run("r20260102-w").id == "r20260102-wxyz"


def test_a_review_comes_back_with_the_same_digest(store: StateStore) -> None:
    """What was asked about is exactly what is stored."""
    assert store.add_review(REVIEW)
    assert store.review("v0123") == REVIEW
    assert store.review(REVIEW.id).digest == REVIEW.digest
    assert not store.add_review(REVIEW)


def test_only_one_of_many_answers_counts(store: StateStore, tmp_path: Path) -> None:
    """Approvers who race: one wins, the others are told."""
    store.add_review(REVIEW)
    won: list[bool] = []

    def approve() -> None:
        mine = StateStore(tmp_path / "state.sqlite")
        won.append(
            mine.answer(REVIEW.id, ReviewStatus.APPROVED, actor="user:x", reason="ok", now=NOW)
        )
        mine.close()

    threads = [threading.Thread(target=approve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
    assert store.reviews(pending=True) == []


def test_messages_keep_their_order_and_belong_to_one_run(store: StateStore) -> None:
    """A reader that knows the last number gets what came after it."""
    store.post(ROW.id, {"n": 1})
    store.post("other", {"n": 2})
    store.post(ROW.id, {"n": 3})
    first, second = store.inbox(ROW.id, after=0)
    assert (first[1], second[1]) == ({"n": 1}, {"n": 3})
    assert store.inbox(ROW.id, after=second[0]) == []


def test_a_step_mark_is_found_again(store: StateStore) -> None:
    """By run, agent and attempt."""
    store.mark_step(ROW.id, "a", 1, "pid 1")
    assert store.step_mark(ROW.id, "a", 1) == "pid 1"
    assert store.step_mark(ROW.id, "a", 2) is None
    store.mark_step(ROW.id, "a", 2, "")
    assert store.last_attempt(ROW.id, "a") == 2
    assert store.last_attempt(ROW.id, "b") is None


def test_a_broken_row_is_an_error_with_a_hint(store: StateStore, tmp_path: Path) -> None:
    """The state is untrusted input: a row that is not ours is refused, not guessed."""
    import sqlite3  # noqa: PLC0415 - another program's hand

    with sqlite3.connect(tmp_path / "state.sqlite") as other:
        other.execute("UPDATE runs SET status='root'")
    with pytest.raises(Unavailable) as error:
        store.run(ROW.id)
    assert error.value.hint
