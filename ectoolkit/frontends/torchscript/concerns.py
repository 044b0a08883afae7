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

    def holds_for(self, target: str) -> bool:
        """Whether a target of MERA fails at it."""
        return not self.targets or target in self.targets

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
    """Any operand of an add is a concatenation."""
    return node.op == "add" and any(_is_joined(graph, name) for name in node.inputs)


def _adds_to_joined(graph: Graph, node: Node) -> bool:
    """The operand that their add takes from memory is one; the other may be."""
    return node.op == "add" and _is_joined(graph, node.inputs[1])


def _is_joined(graph: Graph, name: str) -> bool:
    producer = graph.producer(name)
    return producer is not None and producer.op == "concat"


def _joined_unevenly(graph: Graph, node: Node) -> bool:
    """Parts that do not fill vectors lie apart in the accelerator's memory, and only convolutions know that."""
    if node.op != "concat":
        return False
    shapes = [graph.values[name].spec.shape for name in node.inputs]
    if node.attributes["axis"] == 1 and all(shape[1] % _VECTOR == 0 for shape in shapes):
        return False
    return not _only_convolved(graph, node.name)


def _only_convolved(graph: Graph, name: str) -> bool:
    for user in graph.users[name]:
        op = "" if user == "<output>" else graph.node(user).op
        if op != "conv2d" and not (op in _PASSED_ON and _only_convolved(graph, user)):
            return False
    return True


#: channels of a vector of the accelerator
_VECTOR = 64
#: operations that leave a concatenation as it lies
_PASSED_ON = ("concat", "upsample_nearest", "upsample_bilinear")
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
        _adds_to_joined,
        "adds to a concatenation by a rule of its InterpreterHw alone (docs/numerics.md)",
        "Let a convolution follow the concatenation, before the add",
        ("InterpreterHw",),
    ),
    (
        _adds_joined,
        "ends its process in its Simulator target where a concatenation is added",
        "Let a convolution follow the concatenation, before the add",
        HARDWARE,
    ),
    (
        _frames,
        "silently counts the frame of an average pool as code 0 instead of the zero point",
        "Use count_include_pad=False, or pool what comes from a ReLU",
        (),
    ),
    (
        _joined_unevenly,
        "is silently wrong, or fails, in its Simulator target where parts of other than 64, 128, ... channels are "
        "joined and not only convolutions use them",
        "Let a convolution follow the concatenation, or use its InterpreterHw target",
        HARDWARE,
    ),
)
