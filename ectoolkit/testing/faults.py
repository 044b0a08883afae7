"""Faults to plant in a device: small ones, of the kinds that real boards, compilers and scripts have had.

A fault changes a graph, or what goes into it.  A device that runs every graph through its fault behaves like one that
has it, whole or truncated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import grid
from ectoolkit.core.ops.convolution import accumulator_ratio
from ectoolkit.core.types import QuantParams
from ectoolkit.data import Preprocess


@dataclass(frozen=True, eq=False)
class Fault:
    """One thing that is wrong.

    Attributes:
        kind: key of `KINDS` or `INPUT_KINDS`.
        layer: where; of an input fault, the layer that quantizes the input.
        graph: what the device runs instead of a graph that has the layer.
        inputs: what it is fed instead.
    """

    kind: str
    layer: str
    graph: Callable[[Graph], Graph] = lambda graph: graph
    inputs: Callable[[np.ndarray], np.ndarray] = lambda images: images

    def __call__(self, graph: Graph) -> Graph:
        """The faulty graph; the graph itself where it does not have the layer."""
        return self.graph(graph) if any(node.name == self.layer for node in graph.nodes) else graph


def draw(graph: Graph, kind: str, seed: int, preprocess: Preprocess) -> Fault:
    """A fault of a kind, somewhere in a graph.

    Args:
        graph: of one input.
        kind: key of `KINDS` or `INPUT_KINDS`.
        seed: chooses the layer, channel, bit.
        preprocess: the model's, for a second normalization.
    """
    numbers = np.random.default_rng(seed)
    if kind in INPUT_KINDS:
        first = next(node for node in graph.nodes if graph.inputs[0] in node.inputs)
        return Fault(kind, first.name, inputs=lambda images: INPUT_KINDS[kind](images, preprocess))
    weighted = [node for node in graph.nodes if node.op in ("conv2d", "linear")]
    if kind in ("scale", "rounding"):
        weighted = [node for node in weighted if graph.values[node.name].spec.dtype == "uint8"]
    node = weighted[int(numbers.integers(len(weighted)))]
    return Fault(kind, node.name, graph=KINDS[kind](graph, node, numbers))


def _constant(name: str, change: Callable[[np.ndarray], None]) -> Callable[[Graph], Graph]:
    def apply(graph: Graph) -> Graph:
        array = graph.constants[name].copy()
        change(array)
        return graph.replace(constants={**graph.constants, name: array})

    return apply


def _quant(name: str, change: Callable[[QuantParams], QuantParams]) -> Callable[[Graph], Graph]:
    def apply(graph: Graph) -> Graph:
        value = graph.values[name]
        return graph.replace(values={**graph.values, name: replace(value, quant=change(grid(value)))})

    return apply


def _weight_bit(graph: Graph, node: Node, numbers: np.random.Generator) -> Callable[[Graph], Graph]:
    place, bit = int(numbers.integers(graph.constants[node.inputs[1]].size)), int(numbers.integers(4, 8))

    def flip(weight: np.ndarray) -> None:
        weight.view(np.uint8).flat[place] ^= 1 << bit

    return _constant(node.inputs[1], flip)


def _bias(graph: Graph, node: Node, numbers: np.random.Generator) -> Callable[[Graph], Graph]:
    channel = int(numbers.integers(graph.constants[node.inputs[2]].size))
    step = _accumulator_step(graph, node)[channel]

    def move(bias: np.ndarray) -> None:
        bias[channel] += step

    return _constant(node.inputs[2], move)


def _swapped(graph: Graph, node: Node, numbers: np.random.Generator) -> Callable[[Graph], Graph]:
    first, second = numbers.choice(len(graph.constants[node.inputs[1]]), 2, replace=False)

    def swap(weight: np.ndarray) -> None:
        weight[[first, second]] = weight[[second, first]]

    return _constant(node.inputs[1], swap)


def _scale(graph: Graph, node: Node, numbers: np.random.Generator) -> Callable[[Graph], Graph]:
    factor = np.float32(1 + numbers.choice([-1, 1]) / 32)
    return _quant(node.name, lambda quant: replace(quant, scale=quant.scale * factor))


def _zero_point(graph: Graph, node: Node, numbers: np.random.Generator) -> Callable[[Graph], Graph]:
    """The input's zero point is off by one where it was folded into the bias."""
    weight = graph.constants[node.inputs[1]].astype(np.int32)
    folded = weight.reshape(len(weight), -1).sum(axis=1, dtype=np.int32)

    def fold(bias: np.ndarray) -> None:
        bias -= folded

    return _constant(node.inputs[2], fold)


def _rounding(graph: Graph, node: Node, numbers: np.random.Generator) -> Callable[[Graph], Graph]:
    """Truncates where it should round: half a code too low."""
    half = _accumulator_step(graph, node) // 2

    def lower(bias: np.ndarray) -> None:
        bias -= half

    return _constant(node.inputs[2], lower)


def _accumulator_step(graph: Graph, node: Node) -> np.ndarray:
    """Steps of the accumulator that make one code, int32 ``(channels,)``; of raw sums, of the add that takes them."""
    output = graph.values[node.name]
    if output.spec.dtype == "int32":
        output = graph.values[graph.users[node.name][0]]
    ratio = accumulator_ratio(graph.values[node.inputs[2]], output)
    return np.maximum(np.rint(1 / ratio), 2).clip(max=2**24).astype(np.int32)


def _normalized_twice(images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (preprocess.mean, preprocess.std))
    return (images - mean) / std


def _nhwc_as_nchw(images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).reshape(images.shape)


#: faults of a layer, by what is wrong
KINDS: dict[str, Callable[[Graph, Node, np.random.Generator], Callable[[Graph], Graph]]] = {
    "weight bit": _weight_bit,
    "bias": _bias,
    "scale": _scale,
    "zero point": _zero_point,
    "swapped channels": _swapped,
    "rounding": _rounding,
}
#: faults of what goes in
INPUT_KINDS: dict[str, Callable[[np.ndarray, Preprocess], np.ndarray]] = {
    "normalized twice": _normalized_twice,
    "NHWC as NCHW": _nhwc_as_nchw,
}
