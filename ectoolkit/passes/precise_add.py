"""Gives residual adds the operand order, and the fused convolutions, that lose least.

For graphs that no accelerator dictates.  The adder moves its main operand X to the grid of the other, Y, on nine
signed bits; that cuts nothing where X's scale is at most Y's.  A convolution without ReLU that only the add uses can
hand over its raw sums instead of codes, which saves one rounding: done where its scale is at most the other's.
So no ReLU is ever lost (see `ectoolkit.passes.residual_add` for the accelerator's own rule, which may).
"""

from __future__ import annotations

from dataclasses import replace

from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import grid
from ectoolkit.errors import PostconditionError
from ectoolkit.passes.base import Pass
from ectoolkit.passes.residual_add import as_accumulator, fusable


class PreciseResidualAdd(Pass):
    """Orders each add's operands, the smaller scale first, and takes raw sums where that is more precise."""

    def rewrite(self, graph: Graph) -> Graph:
        values = dict(graph.values)
        nodes = {node.name: node for node in graph.nodes}
        for add in graph.nodes:
            if add.op != "add" or graph.values[add.inputs[0]].spec.dtype != "uint8":
                continue
            main, other = ordered(graph, add)
            nodes[add.name] = replace(add, inputs=(main, other))
            producer = graph.producer(main)
            if producer is not None and fusable(graph, producer) and not producer.attributes["relu"]:
                values[producer.name] = as_accumulator(graph, producer)
        return graph.replace(nodes=tuple(nodes.values()), values=values)

    def ensures(self, graph: Graph) -> None:
        for node in graph.nodes:
            if node.op == "add" and graph.values[node.inputs[0]].spec.dtype == "uint8":
                main, other = (grid(graph.values[name]).scalar for name in node.inputs)
                if main > other:
                    raise PostconditionError(f"the main operand of {node.name} must have the smaller scale")


def ordered(graph: Graph, add: Node) -> tuple[str, str]:
    """The add's operands, the one with the smaller scale first; of equal ones, a convolution whose sums it can take."""
    left, right = add.inputs
    scales = [grid(graph.values[name]).scalar for name in (left, right)]
    if scales[0] != scales[1]:
        return (left, right) if scales[0] < scales[1] else (right, left)
    producer = graph.producer(right)
    takes = producer is not None and fusable(graph, producer) and not producer.attributes["relu"]
    return (right, left) if takes else (left, right)
