"""How much work layers are: what a roofline is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.core.verifier import op_of


@dataclass(frozen=True)
class Workload:
    """Of one layer, or of several that are computed together.

    Attributes:
        macs: multiply-accumulates.
        moved: bytes of inputs, weights and output, each counted once; what passes between the layers is none of them.
    """

    macs: int
    moved: int


def workload(graph: Graph, layers: Sequence[str]) -> Workload:
    """The work of layers that follow each other, by name; the last one's value is their output."""
    nodes = [graph.node(name) for name in layers]
    macs = sum(op_of(n).macs(n, [graph.values[i] for i in n.inputs], graph.values[n.name]) for n in nodes)
    outside = {name for node in nodes for name in node.inputs} - set(layers)
    return Workload(macs, sum(_size(graph, name) for name in (*outside, layers[-1])))


def _size(graph: Graph, name: str) -> int:
    spec = graph.values[name].spec
    return prod(spec.shape) * np.dtype(spec.dtype).itemsize
