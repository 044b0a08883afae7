"""Places for a graph's layers on paper: in rows that turn at their ends, so that a long chain fits a page.

Layers stand in columns by their longest path from an input; within a column they are sorted by the mean place of what
they are joined to, so that few edges cross (Sugiyama's way, with the columns folded into rows).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ectoolkit.core.graph import Graph

#: columns in a row, where the graph has many
PER_ROW = 14
_SWEEPS = 4


@dataclass(frozen=True, eq=False)
class GraphLayout:
    """Layers and where they stand; one unit is a layer with the room around it, y goes down.

    Attributes:
        names: of inputs and layers, in order of execution.
        ops: ``"input"`` or the layer's operation.
        places: float32 ``(layers, 2)``: x and y of each middle.
        edges: pairs of indices, from and to.
        size: of the whole, x and y.
    """

    names: Sequence[str]
    ops: Sequence[str]
    places: np.ndarray
    edges: Sequence[tuple[int, int]]
    size: tuple[float, float]

    def behind(self, name: str) -> list[str]:
        """The layers that the value of a layer or input reaches, itself not among them; in order of execution."""
        reached = {position for position, one in enumerate(self.names) if one == name}
        for source, target in self.edges:  # in order of execution, too
            if source in reached:
                reached.add(target)
        return [one for position, one in enumerate(self.names) if position in reached and one != name]

    def __repr__(self) -> str:
        return f"GraphLayout({len(self.names)} layers, {len(self.edges)} edges)"


def layout(graph: Graph, per_row: int = PER_ROW) -> GraphLayout:
    """Places for the inputs and layers of a graph; the same graph gives the same places.

    Args:
        graph: integer or float.
        per_row: columns in a row.
    """
    nodes: dict[str, tuple[str, Sequence[str]]] = dict.fromkeys(graph.inputs, ("input", ()))
    for node in graph.nodes:
        nodes[node.name] = node.op, [name for name in node.inputs if name not in graph.constants]
    names = list(nodes)
    index = {name: position for position, name in enumerate(names)}
    edges = [(index[source], index[name]) for name, (_, sources) in nodes.items() for source in dict.fromkeys(sources)]
    columns = _columns(len(names), edges)
    heights = _heights(columns, edges)
    places, size = _folded(columns, heights, per_row)
    return GraphLayout(names, [op for op, _ in nodes.values()], places, edges, size)


def _columns(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest path to each layer; edges come in order of execution."""
    found = [0] * count
    for source, target in edges:
        found[target] = max(found[target], found[source] + 1)
    return found


def _heights(columns: Sequence[int], edges: Sequence[tuple[int, int]]) -> list[float]:
    """Each layer's place in its column, around 0; an edge that passes a column takes a place there, too."""
    members: dict[int, list[int]] = defaultdict(list)
    for layer, column in enumerate(columns):
        members[column].append(layer)
    neighbours: dict[int, list[int]] = defaultdict(list)
    unseen = len(columns)
    for source, target in edges:
        chain = [source]
        for column in range(columns[source] + 1, columns[target]):
            members[column].append(unseen)
            chain.append(unseen)
            unseen += 1
        for one, other in zip(chain, [*chain[1:], target], strict=True):
            neighbours[one].append(other)
            neighbours[other].append(one)
    height = {layer: float(place) for layers in members.values() for place, layer in enumerate(layers)}
    for sweep in range(_SWEEPS):
        for column in sorted(members, reverse=bool(sweep % 2)):
            _settle(members[column], neighbours, height)
    return [height[layer] for layer in range(len(columns))]


def _settle(layers: Sequence[int], neighbours: Mapping[int, Sequence[int]], height: dict[int, float]) -> None:
    """Sort one column by the mean height of its neighbours, and space it evenly around their mean."""
    wanted = {layer: _mean([height[one] for one in neighbours.get(layer, ())], height[layer]) for layer in layers}
    middle = sum(wanted.values()) / len(wanted)
    for place, layer in enumerate(sorted(layers, key=lambda one: (wanted[one], one))):
        height[layer] = middle + place - (len(layers) - 1) / 2


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _folded(columns: Sequence[int], heights: Sequence[float], per_row: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Columns as rows one below the other, every second from right to left."""
    rows: dict[int, list[int]] = defaultdict(list)
    for layer, column in enumerate(columns):
        rows[column // per_row].append(layer)
    places, top = np.zeros((len(columns), 2), np.float32), 0.0
    for row in sorted(rows):
        found = [heights[layer] for layer in rows[row]]
        for layer in rows[row]:
            step = columns[layer] % per_row
            places[layer] = step if row % 2 == 0 else per_row - 1 - step, top + heights[layer] - min(found)
        top += max(found) - min(found) + 1.3
    width = min(max(columns, default=0) + 1, per_row)
    return places + 0.5, (float(width), float(max(top - 0.3, 0.0)))
