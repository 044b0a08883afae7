"""global_avg_pool: mean over rows and columns, truncated: ``floor(Σq / n)`` on raw codes, the grid stays.

About half an LSB low against torch, which rounds; it is what the accelerator does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
        return (total // (height * width)).astype(np.uint8).reshape(n, channels, 1, 1)
