"""Gives residual adds the form the accelerator computes them in.

EdgeCortix's compiler picks one operand of an add as the main one, X: the left if nothing else uses it, else the
right if nothing else uses that, else the left.  If X is a convolution that nothing else uses, the convolution is
fused: its raw accumulator goes straight into the add, so its own scale, its clamp **and its ReLU** are skipped.
The board does the same, so the reference must; a lost ReLU is reported by name, since it costs accuracy.  Where the
other operand can be the main one instead, swapping the two keeps the ReLU.
"""

from __future__ import annotations

from dataclasses import replace

from ectoolkit._notices import warn
from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import PostconditionError, PrecisionWarning
from ectoolkit.passes.base import Pass

#: entry of `Graph.origin` that names the layers whose ReLU was dropped, joined by commas
LOST_RELUS = "lost_relus"


class FuseResidualAdd(Pass):
    """Orders each add's operands (main first) and turns a fusable main convolution into its accumulator.

    Args:
        swap: swap an add's operands first where that keeps a ReLU; the graph is then another than the model it was read
            from, so a file of that model must be written anew.
    """

    def __init__(self, *, swap: bool = False) -> None:
        self.swap = swap

    def rewrite(self, graph: Graph) -> Graph:
        values = dict(graph.values)
        nodes = {node.name: node for node in graph.nodes}
        lost_relus = []
        for add in graph.nodes:
            if add.op != "add":
                continue
            main, other = main_operand(graph, add)
            if self.swap and swap_keeps_relu(graph, add):
                main, other = other, main
            nodes[add.name] = replace(add, inputs=(main, other))
            producer = graph.producer(main)
            if producer is None or not fusable(graph, producer):
                continue
            if producer.attributes["relu"]:
                lost_relus.append(producer.name)
            nodes[producer.name] = replace(producer, attributes={**producer.attributes, "relu": False})
            values[producer.name] = as_accumulator(graph, producer)
        if lost_relus:
            warn(
                f"{graph.name}: the ReLU of {', '.join(lost_relus)} is dropped, because EdgeCortix's compiler fuses a "
                "convolution that only an add uses into that add, before its ReLU. The reference does what the board "
                "does. To keep the ReLU, use its result a second time or swap the add's operands, as "
                "import_torchscript(keep_relus=True) does where that helps",
                PrecisionWarning,
                stacklevel=3,
            )
        origin = {**graph.origin, LOST_RELUS: ",".join(lost_relus)} if lost_relus else graph.origin
        return graph.replace(nodes=tuple(nodes.values()), values=values, origin=origin)

    def ensures(self, graph: Graph) -> None:
        for node in graph.nodes:
            if node.op == "conv2d" and graph.values[node.name].spec.dtype == "int32":
                users = graph.users[node.name]
                fed = [graph.node(user) for user in users if user != "<output>"]
                if len(users) != 1 or not fed or fed[0].op != "add" or fed[0].inputs[0] != node.name:
                    raise PostconditionError(f"the accumulator of {node.name} must feed one add as its main operand")


def main_operand(graph: Graph, add: Node) -> tuple[str, str]:
    """The add's operands, main one first."""
    left, right = add.inputs
    if len(graph.users[left]) == 1 or len(graph.users[right]) > 1:
        return left, right
    return right, left


def swap_keeps_relu(graph: Graph, add: Node) -> bool:
    """Whether an add, as it is written, loses a ReLU that it keeps with its operands swapped."""
    left, right = (graph.producer(name) for name in add.inputs)
    if left is None or right is None or not _loses_relu(graph, left) or _loses_relu(graph, right):
        return False
    return len(graph.users[right.name]) == 1  # else the left one is the main operand whatever the order


def _loses_relu(graph: Graph, producer: Node) -> bool:
    return fusable(graph, producer) and bool(producer.attributes["relu"])


def fusable(graph: Graph, producer: Node) -> bool:
    """True for a convolution that nothing else uses and that is not an accumulator yet."""
    single = len(graph.users[producer.name]) == 1
    return producer.op == "conv2d" and single and graph.values[producer.name].spec.dtype == "uint8"


def as_accumulator(graph: Graph, convolution: Node) -> Value:
    """The convolution's value as raw sums: int32 on the bias's grid, one scale a channel."""
    value = graph.values[convolution.name]
    bias = grid(graph.values[convolution.inputs[2]])
    return replace(value, spec=replace(value.spec, dtype="int32"), quant=QuantParams.int32(bias.scale, axis=1))
