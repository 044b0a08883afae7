"""global_avg_pool: mean over rows and columns of raw codes, truncated as the accelerator does it; the grid stays.

    q = max(0, R(Σq - n // 2, float32(1 / n)))      n = rows · columns

R is `ectoolkit.core.arithmetic.requantize`: half a step is taken off before it rounds half up.  That is ``floor(Σq /
n)`` where n is odd.  Where n is even, a sum that is a multiple of n stands on a tie, and a float32 ``1 / n`` that is a
little small (14×14, 28×28, but not 8×8 or 16×16) tips it to one code less.  About half an LSB low against torch.

Found by black-box tests of MERA 1.6.0: equal in 36,000 of 36,000 sums at and beside multiples of n, 60 sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, same_grid


class GlobalAvgPool(Op):
    """Input: uint8 NCHW.  Output: uint8 ``(N, C, 1, 1)`` on the same grid."""

    name = "global_avg_pool"
    arity = 1
    rank = 4
    input_dtypes = (("uint8",),)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return (*inputs[0].spec.shape[:2], 1, 1)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        n, channels, height, width = arrays[0].shape
        total = arrays[0].reshape(n, channels, -1).sum(axis=2, dtype=np.int64)
        half, multiplier, shift = truncating_mean(height * width)
        rounded = arithmetic.requantize(total - half, np.asarray(multiplier), np.asarray(shift))
        return np.maximum(rounded, 0).astype(np.uint8).reshape(n, channels, 1, 1)


def truncating_mean(count: int) -> tuple[int, int, int]:
    """What is taken off a sum of `count` codes, and the multiplier and shift that follow."""
    multiplier, shift = arithmetic.requantize_multiplier(float(np.float32(1) / np.float32(count)))
    return count // 2, int(multiplier), int(shift)
