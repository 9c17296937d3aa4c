"""Places the agents of a chain in columns, so that events run from left to right.

Invariants:
1. Deterministic: the same nodes and edges, in the same order, give the same places.
2. Total: cycles, self-loops, unknown names and doubled edges are survived, never followed.
3. Bounded: more than `MOST_NODES` or `MOST_EDGES` gives None; a picture of that helps nobody.

Longest-path ranks, then a few barycenter sweeps over columns in which an edge that spans several
ranks holds a place in each (Sugiyama, Tagawa and Toda 1981).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST_NODES = 120
MOST_EDGES = 400
_SWEEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one node goes: column, and line within the picture (halves occur)."""

    node: int
    column: int
    line: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The bends of one edge, as (column, line), from its source's place to its target's."""

    edge: int
    bends: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The whole picture: its size in columns and lines, the places, the routes."""

    columns: int
    lines: float
    places: tuple[Place, ...]
    routes: tuple[Route, ...]


def lay_out(nodes: int, edges: Sequence[tuple[int, int]]) -> Layout | None:
    """Place nodes ``0..nodes-1``; None when there are too many of either to draw.

    Edges that close a cycle are placed like the others but do not push a node to the right.
    """
    if nodes > MOST_NODES or len(edges) > MOST_EDGES:
        return None
    known = [(s, t) for s, t in edges if 0 <= s < nodes and 0 <= t < nodes]
    forward = _without_cycles(nodes, known)
    rank = _ranks(nodes, forward)
    columns: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for node in range(nodes):
        columns[rank[node]].append(node)
    chains = _chains(nodes, edges, rank, columns)
    _order(columns, chains)
    lines = max((len(column) for column in columns), default=0)
    line = {
        member: index + (lines - len(column)) / 2
        for column in columns
        for index, member in enumerate(column)
    }
    column_of = {member: index for index, column in enumerate(columns) for member in column}
    return Layout(
        columns=len(columns),
        lines=lines,
        places=tuple(Place(node=n, column=rank[n], line=line[n]) for n in range(nodes)),
        routes=tuple(
            Route(edge=edge, bends=tuple((column_of[m], line[m]) for m in chain))
            for edge, chain in chains.items()
        ),
    )


def _without_cycles(nodes: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give the edges that close no cycle in a depth-first walk with a stack of its own."""
    after: list[list[int]] = [[] for _ in range(nodes)]
    for source, target in edges:
        after[source].append(target)
    state = [0] * nodes  # 0 not seen, 1 on the walk's path, 2 done
    kept: list[tuple[int, int]] = []
    for root in range(nodes):
        if state[root]:
            continue
        state[root] = 1
        stack = [(root, iter(after[root]))]
        while stack:
            node, rest = stack[-1]
            target = next(rest, -1)
            if target < 0:
                state[node] = 2
                stack.pop()
            elif state[target] != 1:
                kept.append((node, target))
                if state[target] == 0:
                    state[target] = 1
                    stack.append((target, iter(after[target])))
    return kept


def _ranks(nodes: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Give each node the length of the longest path that leads to it."""
    after: list[list[int]] = [[] for _ in range(nodes)]
    open_edges = [0] * nodes
    for source, target in edges:
        after[source].append(target)
        open_edges[target] += 1
    rank = [0] * nodes
    ready = [node for node in range(nodes) if not open_edges[node]]
    for node in ready:
        for target in after[node]:
            rank[target] = max(rank[target], rank[node] + 1)
            open_edges[target] -= 1
            if not open_edges[target]:
                ready.append(target)
    return rank


def _chains(
    nodes: int, edges: Sequence[tuple[int, int]], rank: list[int], columns: list[list[int]]
) -> dict[int, list[int]]:
    """Give each drawable edge as the members it passes, adding one to each column between."""
    chains: dict[int, list[int]] = {}
    extra = nodes
    for edge, (source, target) in enumerate(edges):
        if not (0 <= source < nodes and 0 <= target < nodes) or source == target:
            continue
        chain = [source]
        for column in range(rank[source] + 1, rank[target]):
            columns[column].append(extra)
            chain.append(extra)
            extra += 1
        chain.append(target)
        chains[edge] = chain
    return chains


def _order(columns: list[list[int]], chains: dict[int, list[int]]) -> None:
    """Sort each column by the mean line of its members' neighbours, to and fro."""
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for chain in chains.values():
        for source, target in pairwise(chain):
            after.setdefault(source, []).append(target)
            before.setdefault(target, []).append(source)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        near = before if forward else after
        for column in columns if forward else reversed(columns):
            line = {
                member: index - (len(other) - 1) / 2
                for other in columns
                for index, member in enumerate(other)
            }
            column.sort(key=lambda member: _mean(near.get(member, []), line, line[member]))


def _mean(members: list[int], line: dict[int, float], otherwise: float) -> float:
    return sum(line[m] for m in members) / len(members) if members else otherwise
