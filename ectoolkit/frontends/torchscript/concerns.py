"""What EdgeCortix's compiler (MERA 1.6.0) is known to make something else of, though the file is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import grid, pair

#: targets that do what the accelerator does; InterpreterHw is right where some of these are not
HARDWARE = ("Simulator", "IP", "VerilatorSimulator")


@dataclass(frozen=True)
class Concern:
    """One kind of layer that their compiler fails at.

    Attributes:
        model: name of the graph.
        layers: that are of this kind.
        what: the compiler does with them.
        remedy: what to do about it.
        targets: MERA's targets that it holds for; empty for all.
    """

    model: str
    layers: tuple[str, ...]
    what: str
    remedy: str
    targets: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = f" and {len(self.layers) - 5} more" if len(self.layers) > 5 else ""
        names = f"{', '.join(self.layers[:5])}{more}"
        return f"{self.model}: EdgeCortix's compiler (MERA 1.6.0) {self.what}: {names}. {self.remedy}"


def concerns(graph: Graph) -> Iterator[Concern]:
    """One for each kind of layer that their compiler fails at.

    Args:
        graph: as written: see `ectoolkit.frontends.torchscript.plain`.
    """
    for applies, what, remedy, targets in _KINDS:
        names = tuple(node.name for node in graph.nodes if applies(graph, node))
        if names:
            yield Concern(graph.name, names, what, remedy, targets)


def _high_zero_point(graph: Graph, node: Node) -> bool:
    value = graph.values[node.name]
    return value.spec.dtype == "uint8" and grid(value).zero_point > 127


def _grouped(graph: Graph, node: Node) -> bool:
    if node.op != "conv2d" or node.attributes["groups"] == 1:
        return False
    return graph.values[node.inputs[0]].spec.shape[1] != node.attributes["groups"]


def _moves(graph: Graph, node: Node) -> bool:
    shape = graph.values[node.inputs[0]].spec.shape
    if node.op in ("slice", "transpose"):
        return len(shape) > 2
    return node.op == "reshape" and len(shape) > 2 and sum(extent > 1 for extent in shape[1:]) > 1


def _pads(graph: Graph, node: Node) -> bool:
    return node.op == "pad" and grid(graph.values[node.name]).zero_point != 0


def _frames(graph: Graph, node: Node) -> bool:
    if node.op != "avg_pool2d" or not node.attributes["count_frame"] or pair(node, "padding") == (0, 0):
        return False
    return grid(graph.values[node.name]).zero_point != 0


def _adds_joined(graph: Graph, node: Node) -> bool:
    producers = [graph.producer(name) for name in node.inputs] if node.op == "add" else []
    return any(producer is not None and producer.op == "concat" for producer in producers)


def _joined_output(graph: Graph, node: Node) -> bool:
    if node.op != "concat":
        return False
    return any(graph.node(user).op == "dequantize" for user in graph.users[node.name] if user != "<output>")


_Kind = tuple[Callable[[Graph, Node], bool], str, str, tuple[str, ...]]
_KINDS: tuple[_Kind, ...] = (
    (
        _high_zero_point,
        "is silently wrong in its Simulator target where a zero point is above 127",
        "Compare with its InterpreterHw target, which is right, or quantize with activation_bits=7",
        HARDWARE,
    ),
    (
        _grouped,
        "stops at grouped convolutions that are not depthwise",
        "Use groups=1, or keep this model off the accelerator",
        (),
    ),
    (
        _moves,
        "counts in NHWC order and silently takes other elements",
        "Pool to 1×1 before flattening, or keep this model off the accelerator",
        (),
    ),
    (
        _pads,
        "silently pads with code 0 instead of the zero point",
        "Let only convolutions use the pad: then it becomes their padding",
        (),
    ),
    (
        _adds_joined,
        "adds a concatenation on the host, by a rule that is not settled (docs/numerics.md)",
        "Put an operation between the two, or compare with a tolerance",
        (),
    ),
    (
        _frames,
        "silently counts the frame of an average pool as code 0 instead of the zero point",
        "Use count_include_pad=False, or pool what comes from a ReLU",
        (),
    ),
    (
        _joined_output,
        "is silently wrong, or fails, in its Simulator target where a concatenation is an output",
        "Let a convolution follow it, make each part an output of its own, or use its InterpreterHw target",
        HARDWARE,
    ),
)
