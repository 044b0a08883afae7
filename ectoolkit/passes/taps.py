"""Makes outputs of inner values, so that a device that shows nothing but outputs can be looked into.

A tap is one more use of a value, and who uses a value decides how an add is computed: EdgeCortix's compiler fuses a
convolution into an add only where nothing else reads it.  So a value is tapped only where the graph keeps its form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.errors import PostconditionError, PreconditionError
from ectoolkit.passes.base import Pass
from ectoolkit.passes.residual_add import fusable, main_operand

#: added to a layer's name for the node that makes real numbers of its codes
TAP = ":tapped"


class Tap(Pass):
    """Adds an output for each of some layers, after the graph's own.

    Args:
        layers: names, each one of `tappable`.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)

    def requires(self, graph: Graph) -> None:
        for name in self.layers:
            graph.node(name)
            dtype = graph.values[name].spec.dtype
            if dtype != "uint8":
                raise PreconditionError(f"cannot tap {name} of {graph.name}: it gives {dtype}, expected codes (uint8)")
        if not keeps_form(_tapped(graph, self.layers)):
            raise PreconditionError(
                f"cannot tap {', '.join(self.layers)} of {graph.name}: an add would be computed in another way. Choose "
                "layers of ectoolkit.passes.taps.tappable"
            )

    def rewrite(self, graph: Graph) -> Graph:
        return _tapped(graph, self.layers)

    def ensures(self, graph: Graph) -> None:
        if not keeps_form(graph):
            raise PostconditionError(f"tapping {', '.join(self.layers)} changed how an add of {graph.name} is computed")


def tappable(graph: Graph) -> list[str]:
    """The layers that can be tapped, each alone, in execution order."""
    codes = [node.name for node in graph.nodes if graph.values[node.name].spec.dtype == "uint8"]
    return [name for name in codes if keeps_form(_tapped(graph, [name]))]


def keeps_form(graph: Graph) -> bool:
    """Whether each add still has the main operand that it is written with, and no convolution became fusable."""
    for node in graph.nodes:
        if node.op != "add":
            continue
        main, other = main_operand(graph, node)
        producer = graph.producer(main)
        if (main, other) != node.inputs or (producer is not None and fusable(graph, producer)):
            return False
        if graph.values[main].spec.dtype == "int32" and len(graph.users[main]) != 1:
            return False
    return True


def _tapped(graph: Graph, layers: Sequence[str]) -> Graph:
    values, nodes, outputs = dict(graph.values), list(graph.nodes), list(graph.outputs)
    for name in layers:
        tap = name + TAP
        nodes.append(Node(tap, "dequantize", (name,)))
        values[tap] = Value(tap, replace(graph.values[name].spec, dtype="float32"))
        outputs.append(tap)
    return graph.replace(nodes=tuple(nodes), values=values, outputs=tuple(outputs))
