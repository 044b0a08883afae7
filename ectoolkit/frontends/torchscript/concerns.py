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
            yield f"{', '.join(names[:5])}{more}: {what}. {remedy}"


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
        "zero point above 127, which the Simulator target computes wrongly without a word",
        "Use the InterpreterHw target to compare, or quantize with activation_bits=7",
    ),
    (
        _grouped,
        "grouped convolution that is not depthwise, which the compiler stops at",
        "Keep this model off the accelerator, or use groups=1",
    ),
    (
        _moves,
        "the compiler counts in NHWC order here and takes other elements without a word",
        "Keep this model off the accelerator, or pool to 1×1 before flattening",
    ),
    (
        _pads,
        "the compiler pads with code 0 instead of the zero point without a word",
        "Let a convolution alone use the pad: then it becomes that convolution's padding",
    ),
)
