"""The graph as it is written: without nodes that do nothing, and with pads inside the convolutions after them.

A pad on codes is silently wrong on EdgeCortix's compiler (MERA 1.6.0 frames with code 0 instead of the zero point),
a convolution's own padding is right.  An uneven pad becomes an even padding of a kernel with zeros at its edges:
the same sums, exactly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import pair, wholes
from ectoolkit.core.verifier import verify


def plain(graph: Graph) -> Graph:
    """A graph with the same results, bit for bit, that is closer to what torch writes."""
    graph = _without_identities(graph)
    for node in graph.nodes:
        if node.op == "pad" and all(_is_convolution_of(graph, user, node) for user in graph.users[node.name]):
            graph = _fold(graph, node)
    verify(graph)
    return graph


def _without_identities(graph: Graph) -> Graph:
    stands_for: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(stands_for.get(name, name) for name in node.inputs))
        if _changes_nothing(graph, node):
            stands_for[node.name] = node.inputs[0]
        else:
            nodes.append(node)
    values = {name: value for name, value in graph.values.items() if name not in stands_for}
    outputs = tuple(stands_for.get(name, name) for name in graph.outputs)
    return graph.replace(nodes=tuple(nodes), values=values, outputs=outputs)


def _changes_nothing(graph: Graph, node: Node) -> bool:
    same_shape = graph.values[node.inputs[0]].spec.shape == graph.values[node.name].spec.shape
    if node.op == "transpose":
        return wholes(node, "order") == tuple(range(len(wholes(node, "order"))))
    return same_shape and node.op in ("reshape", "slice", "pad", "global_avg_pool")


def _is_convolution_of(graph: Graph, user: str, pad: Node) -> bool:
    return user != "<output>" and graph.node(user).op == "conv2d" and graph.node(user).inputs[0] == pad.name


def _fold(graph: Graph, pad: Node) -> Graph:
    """The graph without this pad, its convolutions padding more."""
    values, constants = dict(graph.values), dict(graph.constants)
    users = set(graph.users[pad.name])
    nodes = []
    for node in graph.nodes:
        if node.name in users:
            weight, settings = _padded(graph, node, wholes(pad, "amounts"))
            name = node.inputs[1]
            constants[name] = weight
            values[name] = replace(values[name], spec=replace(values[name].spec, shape=weight.shape))
            inputs = (pad.inputs[0], *node.inputs[1:])
            node = replace(node, inputs=inputs, attributes={**node.attributes, **settings})
        if node.name != pad.name:
            nodes.append(node)
    del values[pad.name]
    return graph.replace(nodes=tuple(nodes), values=values, constants=constants)


def _padded(graph: Graph, node: Node, amounts: tuple[int, ...]) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
    """The convolution's weight, with zeros where the pad is uneven, and its new padding and dilation."""
    weight = graph.constants[node.inputs[1]]
    paddings, dilations, frame = [], [], [(0, 0), (0, 0)]
    for axis in (0, 1):
        own, dilation = pair(node, "padding")[axis], pair(node, "dilation")[axis]
        before, after = (own + amount for amount in amounts[2 * axis : 2 * axis + 2])
        if before != after and dilation > 1:  # a zero more at one end must be one position more
            weight, dilation = _spread(weight, 2 + axis, dilation), 1
        # the kernel grows by what the even padding adds, so that it stands at the same places and no others
        frame.append((max(after - before, 0), max(before - after, 0)))
        paddings.append(max(before, after))
        dilations.append(dilation)
    settings = {"padding": (paddings[0], paddings[1]), "dilation": (dilations[0], dilations[1])}
    return np.pad(weight, frame), settings


def _spread(weight: np.ndarray, axis: int, dilation: int) -> np.ndarray:
    """A dilated kernel with its gaps written out as zeros."""
    shape = list(weight.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 1
    spread = np.zeros(shape, weight.dtype)
    np.moveaxis(spread, axis, 0)[::dilation] = np.moveaxis(weight, axis, 0)
    return spread
