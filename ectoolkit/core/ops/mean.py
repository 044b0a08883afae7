"""mean: over rows and columns, rounded once to the output's own grid.

    q = clip(R(Σ(q_in - z_in), s_in / (n · s_out)) + z_out, 0, quant_max)      n = rows · columns

R is `ectoolkit.core.arithmetic.requantize`.  ectoolkit's own rule; the accelerator's is `global_avg_pool`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, codes, expect, grid


class Mean(Op):
    """Input: uint8 NCHW.  Output: uint8 ``(N, C, 1, 1)``."""

    name = "mean"
    arity = 1
    rank = 4
    input_dtypes = (("uint8",),)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return (*inputs[0].spec.shape[:2], 1, 1)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        _, _, height, width = inputs[0].spec.shape
        fits = 255 * height * width <= arithmetic.INT32_MAX
        expect(fits, node, f"the sum over {height}×{width} codes can leave int32; pool the image before")
        arithmetic.requantize_multiplier(mean_ratio(inputs[0], output), node.name)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        n, channels, height, width = arrays[0].shape
        total = arrays[0].reshape(n, channels, -1).sum(axis=2, dtype=np.int64)
        centred = total - height * width * grid(inputs[0]).zero_point
        multiplier = arithmetic.requantize_multiplier(mean_ratio(inputs[0], output), node.name)
        return codes(arithmetic.requantize(centred, *multiplier), grid(output)).reshape(n, channels, 1, 1)


def mean_ratio(x: Value, output: Value) -> float:
    """Scale of a sum over rows and columns, divided by their number, over the output's."""
    _, _, height, width = x.spec.shape
    return float(np.float64(grid(x).scale) / (height * width * np.float64(grid(output).scale)))
