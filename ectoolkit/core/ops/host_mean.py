"""host_mean: mean over rows and columns, as torch's ``x.mean([2, 3])`` becomes on the host; the grid stays.

    sum = 0;  for each element, row by row:  sum = float32((q - z) · s + sum)      a fused multiply-add
    q   = clip(away(float32(sum · float32(1 / n)) / s) + z, 0, quant_max)          n = rows · columns

EdgeCortix's compiler leaves this mean to the host, whose code TVM makes; its pool to 1×1 is `global_avg_pool`.
Found by black-box tests of MERA 1.6.0: equal in 24,576 of 24,576 means, 2×2 to 14×14, many of them on ties; sums by
columns, in pairs, without fusing, or a division by n differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, codes, expect, grid, same_grid
from ectoolkit.core.types import Rounding

#: up to here each step of the sum is exact in float64 before its one rounding to float32
LARGEST_COUNT = 2**16


class HostMean(Op):
    """Input: uint8 NCHW.  Output: uint8 ``(N, C, 1, 1)`` on the same grid."""

    name = "host_mean"
    arity = 1
    rank = 4
    input_dtypes = (("uint8",),)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return (*inputs[0].spec.shape[:2], 1, 1)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        _, _, height, width = inputs[0].spec.shape
        fits = height * width <= LARGEST_COUNT
        expect(fits, node, f"takes at most {LARGEST_COUNT} elements a channel, got {height}×{width}")
        same_grid(node, inputs[0], output)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        n, channels, height, width = arrays[0].shape
        quant = grid(output)
        # (q - z)·s has 33 bits, and the sum is at most 2**24 times as large: float64 holds each step exactly
        real = (arrays[0].astype(np.float64) - quant.zero_point) * np.float64(quant.scalar)
        total = np.zeros((n, channels), np.float32)
        for element in np.moveaxis(real.reshape(n, channels, -1), -1, 0):
            total = (total.astype(np.float64) + element).astype(np.float32)
        mean = total * reciprocal_of_count(height * width)
        steps = arithmetic.round_to_integer(mean / quant.scalar, Rounding.HALF_AWAY_FROM_ZERO)
        return codes(steps.astype(np.int32), quant).reshape(n, channels, 1, 1)


def reciprocal_of_count(count: int) -> np.float32:
    """float32 ``1 / count``."""
    return np.float32(1) / np.float32(count)
