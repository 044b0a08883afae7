"""Gives adds the form that loses least, for graphs that no accelerator dictates.

Every `add` becomes a `precise_add`, which rounds once.  A convolution without ReLU that only the add uses hands over
its raw sums instead of codes, which saves its own rounding and clipping; no ReLU is ever lost.  See
`ectoolkit.passes.residual_add` for the accelerator's own rule.
"""

from __future__ import annotations

from dataclasses import replace

from ectoolkit.core.graph import Graph, Node
from ectoolkit.errors import PostconditionError
from ectoolkit.passes.base import Pass
from ectoolkit.passes.residual_add import as_accumulator, fusable


class PreciseAdds(Pass):
    """Replaces the adds of codes, and takes raw sums of convolutions where it can."""

    def rewrite(self, graph: Graph) -> Graph:
        values = dict(graph.values)
        nodes = {node.name: node for node in graph.nodes}
        for add in graph.nodes:
            if add.op != "add" or graph.values[add.inputs[0]].spec.dtype != "uint8":
                continue
            nodes[add.name] = replace(add, op="precise_add")
            for name in add.inputs:
                producer = graph.producer(name)
                if producer is not None and _hands_over(graph, producer):
                    values[name] = as_accumulator(graph, producer)
        return graph.replace(nodes=tuple(nodes.values()), values=values)

    def ensures(self, graph: Graph) -> None:
        for node in graph.nodes:
            if node.op == "add" and graph.values[node.inputs[0]].spec.dtype == "uint8":
                raise PostconditionError(f"{node.name} is still the accelerator's add")


def _hands_over(graph: Graph, producer: Node) -> bool:
    return fusable(graph, producer) and not producer.attributes["relu"]
