"""Ends a graph early: keeps the first nodes, and makes outputs of what the others would have read.

So a device that shows nothing but outputs can be asked what it has after any layer.  All values that cross the cut
become outputs, not the last one alone: if they are all equal to the reference, then everything behind the cut starts
from the right numbers, and a difference found later was made later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import PreconditionError
from ectoolkit.passes.base import Pass

#: added to a layer's name for the node that makes real numbers of its codes
TAP = ":tap"


class Cut(Pass):
    """Keeps ``nodes[:position]``.

    Args:
        position: how many nodes stay, 1 to all of them.
        grids: for each raw accumulator that crosses the cut, the grid on which it leaves as codes; the layer then no
            longer hands its sums to an add, so a compiler that fuses the two compiles something else.
    """

    def __init__(self, position: int, grids: Mapping[str, QuantParams] | None = None) -> None:
        self.position = position
        self.grids = dict(grids or {})

    def requires(self, graph: Graph) -> None:
        if not 1 <= self.position <= len(graph.nodes):
            raise PreconditionError(
                f"cannot cut {graph.name} after {self.position} of its {len(graph.nodes)} nodes; expected 1 to "
                f"{len(graph.nodes)}"
            )
        for name in crossing(graph, self.position):
            if graph.values[name].spec.dtype == "int32" and name not in self.grids:
                raise PreconditionError(
                    f"cannot cut {graph.name} behind {name}: it hands raw sums to an add, and no grid was given on "
                    "which they could leave. Cut behind the add, or give Cut a grid for it"
                )

    def rewrite(self, graph: Graph) -> Graph:
        kept = graph.nodes[: self.position]
        read = {name for node in kept for name in node.inputs}
        made = {node.name for node in kept}
        values = {name: graph.values[name] for name in graph.values if name in {*graph.inputs, *read, *made}}
        nodes, outputs = list(kept), []
        for name in crossing(graph, self.position):
            value = values[name]
            if value.spec.dtype == "int32":
                values[name] = value = _as_codes(value, self.grids[name])
            if value.spec.dtype == "uint8":
                nodes.append(Node(name + TAP, "dequantize", (name,)))
                values[name + TAP] = Value(name + TAP, replace(value.spec, dtype="float32"))
            outputs.append(nodes[-1].name if value.spec.dtype == "uint8" else name)
        constants = {name: array for name, array in graph.constants.items() if name in read}
        return graph.replace(nodes=tuple(nodes), outputs=tuple(outputs), values=values, constants=constants)


def crossing(graph: Graph, position: int) -> list[str]:
    """Values made by ``nodes[:position]`` that a later node or the user reads, in execution order."""
    later = {name for node in graph.nodes[position:] for name in node.inputs} | set(graph.outputs)
    return [node.name for node in graph.nodes[:position] if node.name in later]


def clean_positions(graph: Graph) -> list[int]:
    """Positions where no raw accumulator crosses the cut, so that cutting leaves all fusing as it is."""
    positions = range(1, len(graph.nodes) + 1)
    sums = {name for name, value in graph.values.items() if value.spec.dtype == "int32"}
    return [position for position in positions if not sums.intersection(crossing(graph, position))]


def _as_codes(value: Value, grid: QuantParams) -> Value:
    return replace(value, spec=replace(value.spec, dtype="uint8"), quant=grid)
