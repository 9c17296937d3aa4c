"""Places in the picture of a chain."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.control.layout import MOST_NODES, Layout, lay_out

PAIRS = st.lists(st.tuples(st.integers(-1, 14), st.integers(-1, 14)), max_size=40)


def placed(nodes: int, edges: list[tuple[int, int]]) -> Layout:
    """Give the layout of something small enough to draw."""
    layout = lay_out(nodes, edges)
    assert layout is not None
    return layout


def test_a_row_of_agents_runs_from_left_to_right() -> None:
    """Each node stands one column after the one that starts it."""
    layout = placed(3, [(0, 1), (1, 2)])
    assert [p.column for p in layout.places] == [0, 1, 2]
    assert {p.line for p in layout.places} == {0}


def test_a_node_stands_after_the_longest_way_to_it() -> None:
    """A short cut does not pull a node back, and bends through the columns between."""
    layout = placed(4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert [p.column for p in layout.places] == [0, 1, 2, 3]
    assert [column for column, _ in layout.routes[3].bends] == [0, 1, 2, 3]


def test_lines_that_need_not_cross_do_not() -> None:
    """Two pairs given in crossed order are sorted apart."""
    layout = placed(6, [(0, 1), (0, 2), (1, 4), (2, 3), (4, 5), (3, 5)])
    line = {p.node: p.line for p in layout.places}
    assert (line[1] < line[2]) == (line[4] < line[3])


def test_a_cycle_is_survived() -> None:
    """Two agents that start each other are drawn, in some order."""
    layout = placed(3, [(0, 1), (1, 2), (2, 1), (1, 1)])
    assert len({p.column for p in layout.places}) == 3
    assert [r.edge for r in layout.routes] == [0, 1, 2]


def test_a_crowd_is_not_drawn() -> None:
    """Above the limit there is no picture."""
    assert lay_out(MOST_NODES + 1, []) is None


def test_a_long_chain_needs_no_deep_stack() -> None:
    """The walk keeps its own stack."""
    nodes = MOST_NODES
    layout = placed(nodes, [(n, n + 1) for n in range(nodes - 1)])
    assert layout.columns == nodes


@settings(deadline=None)
@given(st.integers(0, 12), PAIRS)
def test_any_graph_is_placed_the_same_way_twice(nodes: int, edges: list[tuple[int, int]]) -> None:
    """Every node has one place of its own; every route runs between the places of its ends."""
    layout = placed(nodes, edges)
    assert layout == lay_out(nodes, edges)
    places = {(p.column, p.line) for p in layout.places}
    assert len(places) == nodes
    at = {p.node: (p.column, p.line) for p in layout.places}
    for route in layout.routes:
        source, target = edges[route.edge]
        assert route.bends[0] == at[source]
        assert route.bends[-1] == at[target]
