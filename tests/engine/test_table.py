"""The table of states, and the picture of it in the docs."""

from pathlib import Path

from ringfence.engine.table import FINAL, TABLE, Sign, State, mermaid

PAGE = Path(__file__).parents[2] / "docs" / "rooms" / "engine.md"


def test_final_states_are_never_left() -> None:
    """No line of the table begins in a final state."""
    assert not [old for old, _ in TABLE if old in FINAL]


def test_every_state_can_be_reached_and_every_sign_is_used() -> None:
    """The table holds nothing dead."""
    assert set(TABLE.values()) | {State.WAITING} == set(State)
    assert {sign for _, sign in TABLE} == set(Sign)


def test_only_a_free_place_lets_an_agent_run() -> None:
    """There is one way into `running`."""
    assert [move for move, new in TABLE.items() if new is State.RUNNING] == [
        (State.READY, Sign.GRANT)
    ]


def test_the_picture_in_the_docs_is_the_table() -> None:
    """The docs page holds exactly the generated diagram."""
    assert f"```mermaid\n{mermaid()}```\n" in PAGE.read_text()
