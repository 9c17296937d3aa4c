"""What the events of a chain draw."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from ringfence.chain.graph import Edge, edges, layers
from ringfence.chain.parse import parse
from ringfence.chain.words import Chain

Load = Callable[..., Chain]


def chain(*agents: str, more: str = "") -> str:
    """Give a chain as YAML; each agent is one flow mapping, on lines 3, 4, ..."""
    lines = "".join(f"  - {{prompt: x, {agent}}}\n" for agent in agents)
    return f"name: drawn\nagents:\n{lines}{more}"


DIAMOND = chain(
    "name: last, triggers: [b:done, c:done], emits: chain:complete, input: [b.txt]",
    "name: a, triggers: chain:start, emits: a:done",
    "name: b, triggers: a:done, emits: b:done, output: b.txt",
    "name: c, triggers: a:done, emits: c:done",
)


def test_rows_wait_only_for_rows_before(load: Load) -> None:
    """Within a row the order is that of the file."""
    assert layers(load(DIAMOND)) == (("a",), ("b", "c"), ("last",))


def test_every_arrow_is_drawn(load: Load) -> None:
    """From the start, between agents, and to the end; failures are marked."""
    text = chain(
        "name: a, triggers: chain:start, emits: a:done, on_error: a:failed",
        "name: b, triggers: a:failed, emits: a:done",
        "name: c, triggers: a:done, emits: chain:complete",
    )
    assert edges(load(text)) == (
        Edge(source=None, target="a", event="chain:start"),
        Edge(source="a", target="b", event="a:failed", failure=True),
        Edge(source="a", target="c", event="a:done"),
        Edge(source="b", target="c", event="a:done"),
        Edge(source="c", target=None, event="chain:complete"),
    )


@st.composite
def drawn(draw: st.DrawFn) -> tuple[str, int]:
    """Give a random chain in which each agent waits for some agents before it."""
    count = draw(st.integers(1, 8))
    agents = []
    for index in range(count):
        before = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        triggers = ", ".join(f"e:a{i}" for i in sorted(before)) or "chain:start"
        end = ", chain:complete" if index == count - 1 else ""
        agents.append(f"name: a{index}, triggers: [{triggers}], emits: [e:a{index}{end}]")
    return chain(*draw(st.permutations(agents))), count


@given(drawn())
def test_any_forward_graph_loads_and_its_rows_hold_everybody_once(case: tuple[str, int]) -> None:
    """Rows are a partition, and every arrow goes to a later row."""
    text, count = case
    loaded = parse(text.encode(), file="c.yaml")
    rows = layers(loaded)
    row_of = {name: i for i, row in enumerate(rows) for name in row}
    assert sum(map(len, rows)) == len(row_of) == count
    for edge in edges(loaded):
        if edge.source is not None and edge.target is not None:
            assert row_of[edge.source] < row_of[edge.target]
