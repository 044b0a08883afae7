"""Layers whose work another layer's kernel does as it reads: paddings before convolutions, the steps of a shuffle."""

from __future__ import annotations

from collections.abc import Mapping

from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import whole, wholes

#: order of axes of the transpose between the two reshapes of a channel shuffle
_SHUFFLE = (0, 2, 1, 3, 4)


def absorbed_layers(graph: Graph) -> dict[str, Node]:
    """The layer that does the work, by the name of the one whose work it does."""
    found = {}
    for node in graph.nodes:
        if node.op == "conv2d" and _absorbs_pad(graph, node):
            found[node.inputs[0]] = node
        for step in shuffle_steps(graph, node):
            found[step.name] = node
    return found


def _absorbs_pad(graph: Graph, node: Node) -> bool:
    """Whether a convolution reads a padding that nothing else reads; grouped ones have no way to."""
    pad = graph.producer(node.inputs[0])
    groups, per_group = whole(node, "groups"), graph.values[node.inputs[1]].spec.shape[1]
    return (
        pad is not None
        and pad.op == "pad"
        and graph.values[pad.name].spec.dtype == "uint8"
        and len(graph.users[pad.name]) == 1
        and (groups == 1 or (per_group == 1 and groups == graph.values[node.name].spec.shape[1]))
    )


def source_of(graph: Graph, node: Node, absorbed: Mapping[str, Node]) -> tuple[str, tuple[int, int, int, int]]:
    """What a convolution's kernel reads, and the pixels of real zeros above, below, left and right of it that the graph
    has put there."""
    given = node.inputs[0]
    if absorbed.get(given) is not node:
        return given, (0, 0, 0, 0)
    pad = graph.node(given)
    return pad.inputs[0], wholes(pad, "amounts")  # type: ignore[return-value]


def shuffle_steps(graph: Graph, node: Node) -> list[Node]:
    """The reshape and the transpose before a reshape that ends a shuffle of channels; none where it does not."""
    turned = graph.producer(node.inputs[0]) if node.op == "reshape" else None
    if turned is None or turned.op != "transpose" or wholes(turned, "order") != _SHUFFLE:
        return []
    parted = graph.producer(turned.inputs[0])
    if parted is None or parted.op != "reshape" or any(len(graph.users[step.name]) > 1 for step in (turned, parted)):
        return []
    before, after = graph.values[parted.inputs[0]].spec, graph.values[node.name].spec
    parts = graph.values[parted.name].spec.shape
    kept = before.dtype == "uint8" and before.shape == after.shape and len(before.shape) == 4
    return [parted, turned] if kept and parts[3:] == before.shape[2:] and parts[0] == before.shape[0] else []
