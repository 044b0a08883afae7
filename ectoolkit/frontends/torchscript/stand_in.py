"""A uint8 grid for a convolution whose result is an int32 accumulator in the graph.

The accelerator adds such an accumulator without rounding it first; torch's convolution must round.  The grid holds
everything that makes a difference to the add: what is beyond it saturates the sum.
"""

from __future__ import annotations

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import QuantParams


def stand_in_grid(graph: Graph, node: Node) -> QuantParams:
    """The grid that torch rounds the accumulator of `node` to; zero point at most 127.

    Args:
        graph: holds the one add that uses it.
        node: a conv2d with an int32 result.
    """
    add = graph.node(graph.users[node.name][0])
    other, total = grid(graph.values[add.inputs[1]]), grid(graph.values[add.name])
    (other_low, other_high), (total_low, total_high) = _ends(other), _ends(total)
    low, high = total_low - other_high, total_high - other_low
    reach_low, reach_high = _reach(graph, node)
    steps = float(other.scalar)  # the adder takes nine bits of them
    low = max(low, reach_low, arithmetic.ADD_MIN * steps)
    high = min(high, reach_high, arithmetic.ADD_MAX * steps)
    low, high = min(low, 0.0), max(high, 0.0)
    # EdgeCortix's Simulator is wrong with zero points from 128 on
    high = max(high, -low * 128 / 127)
    scale = np.float32(max((high - low) / 255, 1e-8))
    return QuantParams.uint8(float(scale), min(int(np.rint(-low / float(scale))), 127))


def _ends(quant: QuantParams) -> tuple[float, float]:
    """Real values of codes 0 and 255."""
    scale = float(quant.scalar)
    return (0 - quant.zero_point) * scale, (255 - quant.zero_point) * scale


def _reach(graph: Graph, node: Node) -> tuple[float, float]:
    """The smallest and largest real value that any input can bring about, over all channels."""
    x, weight, bias = node.inputs
    zero_point = grid(graph.values[x]).zero_point
    codes = graph.constants[weight].astype(np.float64).reshape(len(graph.constants[weight]), -1)
    first, last = codes * (0 - zero_point), codes * (255 - zero_point)
    scale, start = grid(graph.values[bias]).scale.astype(np.float64), graph.constants[bias].astype(np.float64)
    low = (np.minimum(first, last).sum(axis=1) + start) * scale
    high = (np.maximum(first, last).sum(axis=1) + start) * scale
    return float(low.min()), float(high.max())
