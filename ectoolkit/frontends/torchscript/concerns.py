"""What EdgeCortix's compiler (MERA 1.6.0) is known to make something else of, though the file is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import grid


def concerns(graph: Graph) -> Iterator[str]:
    """One sentence for each kind of layer that their compiler fails at, with the layers' names.

    Args:
        graph: as written: see `ectoolkit.frontends.torchscript.plain`.
    """
    for applies, what, remedy in _KINDS:
        names = [node.name for node in graph.nodes if applies(graph, node)]
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            yield f"{graph.name}: EdgeCortix's compiler (MERA 1.6.0) {what}: {', '.join(names[:5])}{more}. {remedy}"


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


_Kind = tuple[Callable[[Graph, Node], bool], str, str]
_KINDS: tuple[_Kind, ...] = (
    (
        _high_zero_point,
        "is silently wrong in its Simulator target where a zero point is above 127",
        "Compare with its InterpreterHw target, which is right, or quantize with activation_bits=7",
    ),
    (
        _grouped,
        "stops at grouped convolutions that are not depthwise",
        "Use groups=1, or keep this model off the accelerator",
    ),
    (
        _moves,
        "counts in NHWC order and silently takes other elements",
        "Pool to 1×1 before flattening, or keep this model off the accelerator",
    ),
    (
        _pads,
        "silently pads with code 0 instead of the zero point",
        "Let only convolutions use the pad: then it becomes their padding",
    ),
)
