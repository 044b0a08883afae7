"""relu: ``max(q, zero_point)`` on codes; the grid stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, grid, same_grid


class Relu(Op):
    """Input: uint8.  Output: uint8 on the same grid."""

    name = "relu"
    arity = 1
    input_dtypes = (("uint8",),)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return inputs[0].spec.shape

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.maximum(arrays[0], np.uint8(grid(output).zero_point))
