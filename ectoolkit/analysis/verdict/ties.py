"""Were the accumulators exactly between two codes?  Then two devices may round them apart without any other fault."""

from __future__ import annotations

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node
from ectoolkit.core.interpreter import Trace
from ectoolkit.core.ops.base import grid
from ectoolkit.core.ops.convolution import accumulate, accumulator_ratio


def ties_among(trace: Trace, node: Node, different: np.ndarray) -> int | None:
    """How many of the differing elements stem from a rounding tie.

    Args:
        trace: of the reference.
        node: whose output differs.
        different: bool, shape of the node's output.

    Returns:
        None where the node is no convolution that makes codes.
    """
    graph = trace.graph
    output = graph.values[node.name]
    if node.op != "conv2d" or output.spec.dtype != "uint8":
        return None
    x, weight, bias = node.inputs
    sums = accumulate(node, trace[x], graph.constants[weight], grid(graph.values[x]).zero_point)
    sums += graph.constants[bias][:, None, None]
    multiplier, shift = arithmetic.requantize_multiplier(accumulator_ratio(graph.values[bias], output), node.name)
    rest = (sums * multiplier[:, None, None]) & ((np.int64(1) << shift[:, None, None]) - 1)
    half = np.int64(1) << (shift[:, None, None] - 1)
    return int((different & (rest == half)).sum())
