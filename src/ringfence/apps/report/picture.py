"""The chain graph of a run as coordinates for the SVG of the report.

Invariants:
1. Positions and paths are numbers made here; text from a chain only ever becomes text.
2. A graph that is too large to draw gives no picture; the table beside it is always there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ringfence.control.layout import Layout, Place, lay_out
from ringfence.control.view import AgentView, EdgeView, RunView
from ringfence.control.visible import visible

_WIDE_BOX = (156, 52)
_SLIM_BOX = (150, 52)
_PILL = (76, 30)
_GAP_ACROSS = 22
_GAP_ALONG = 48
_MARGIN = 10
_NAME_LENGTH = 17
_LABEL_LENGTH = 18
_MOST_LABELS = 14
"""Edges with their event written beside them; more would cover each other."""
_MOST_UPRIGHT = 2
"""Boxes side by side that fit a telephone's screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One box: its corner and size, what it shows, and the agent's number (None: a pill)."""

    x: int
    y: int
    width: int
    height: int
    label: str
    status: str
    agent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event between two boxes, with the place of its label when there is room for one."""

    path: str
    fired: bool
    title: str
    label: str
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything the SVG draws. ``upright`` runs downwards, for narrow screens."""

    width: int
    height: int
    upright: bool
    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """From (column, line) to the middle of a box; ``starts`` and ``depths`` are per column."""

    upright: bool
    box: tuple[int, int]
    starts: tuple[int, ...]
    depths: tuple[int, ...]

    def middle(self, column: int, line: float) -> tuple[int, int]:
        """Give x and y."""
        wide = self.box[0] if self.upright else self.box[1]
        along = self.starts[column] + self.depths[column] // 2
        across = _MARGIN + round(line * (wide + _GAP_ACROSS)) + wide // 2
        return (across, along) if self.upright else (along, across)


def pictures(view: RunView) -> tuple[Picture, ...]:
    """Give the picture for wide screens and, where it fits, one for narrow screens; or none."""
    agents = view.agents
    number = {agent.name: index + 1 for index, agent in enumerate(agents)}
    last = len(agents) + 1
    pairs = [
        (
            0 if edge.source is None else number[edge.source],
            last if edge.target is None else number[edge.target],
        )
        for edge in view.edges
    ]
    layout = lay_out(last + 1, pairs) if agents else None
    if layout is None:
        return ()
    ways = (False, True) if layout.lines <= _MOST_UPRIGHT else (False,)
    return tuple(_draw(layout, agents, view.edges, pairs, upright=upright) for upright in ways)


def _draw(
    layout: Layout,
    agents: Sequence[AgentView],
    edges: Sequence[EdgeView],
    pairs: Sequence[tuple[int, int]],
    *,
    upright: bool,
) -> Picture:
    labelled = len(edges) <= _MOST_LABELS
    longest = max((len(_short(e.event, _LABEL_LENGTH)) for e in edges), default=0)
    gap = max(_GAP_ALONG, longest * 13 // 2 + 14) if labelled and not upright else _GAP_ALONG
    grid = _grid(layout, len(agents), gap, upright=upright)
    used = {end for pair in pairs for end in pair}
    nodes = {
        place.node: _node(place, grid, agents)
        for place in layout.places
        if 0 < place.node <= len(agents) or place.node in used
    }
    lines = tuple(
        _line(
            edges[route.edge],
            nodes[pairs[route.edge][0]],
            nodes[pairs[route.edge][1]],
            [grid.middle(column, line) for column, line in route.bends[1:-1]],
            upright=upright,
            labelled=labelled,
        )
        for route in layout.routes
    )
    wide = max(node.x + node.width for node in nodes.values()) + _MARGIN
    high = max(node.y + node.height for node in nodes.values()) + _MARGIN
    return Picture(
        width=wide, height=high, upright=upright, nodes=tuple(nodes.values()), lines=lines
    )


def _grid(layout: Layout, agents: int, gap: int, *, upright: bool) -> _Grid:
    """Give each column the depth of the deepest thing in it, and its start after the others."""
    box, along = (_SLIM_BOX, 1) if upright else (_WIDE_BOX, 0)
    with_boxes = {place.column for place in layout.places if 0 < place.node <= agents}
    depths = tuple(
        (box if column in with_boxes else _PILL)[along] for column in range(layout.columns)
    )
    starts = tuple(_MARGIN + sum(depths[:c]) + gap * c for c in range(layout.columns))
    return _Grid(upright=upright, box=box, starts=starts, depths=depths)


def _node(place: Place, grid: _Grid, agents: Sequence[AgentView]) -> Node:
    x, y = grid.middle(place.column, place.line)
    if 0 < place.node <= len(agents):
        agent = agents[place.node - 1]
        width, height = grid.box
        label, status, number = _short(agent.name, _NAME_LENGTH), agent.status, place.node
    else:
        width, height = _PILL
        label, status, number = ("end" if place.node else "start"), "", None
    return Node(
        x=x - width // 2,
        y=y - height // 2,
        width=width,
        height=height,
        label=label,
        status=status,
        agent=number,
    )


def _line(
    edge: EdgeView,
    source: Node,
    target: Node,
    bends: Sequence[tuple[int, int]],
    *,
    upright: bool,
    labelled: bool,
) -> Line:
    if upright:
        start = (source.x + source.width // 2, source.y + source.height)
        end = (target.x + target.width // 2, target.y - 6)
    else:
        start = (source.x + source.width, source.y + source.height // 2)
        end = (target.x - 6, target.y + target.height // 2)
    points = [start, *bends, end]
    path = f"M{start[0]} {start[1]}"
    for (x, y), (to_x, to_y) in pairwise(points):
        if upright:
            half = (y + to_y) // 2
            path += f" C{x} {half} {to_x} {half} {to_x} {to_y}"
        else:
            half = (x + to_x) // 2
            path += f" C{half} {y} {half} {to_y} {to_x} {to_y}"
    before = points[-2]
    return Line(
        path=path,
        fired=edge.fired,
        title=f"{edge.source or 'start'} to {edge.target or 'end'}: {edge.event}",
        label=_short(edge.event, _LABEL_LENGTH) if labelled else "",
        x=(before[0] + end[0]) // 2,
        y=(before[1] + end[1]) // 2 - (0 if upright else 5),
    )


def _short(text: str, length: int) -> str:
    shown = visible(text, limit=length * 2)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"
