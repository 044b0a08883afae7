"""reshape: the same elements in another shape, counted in NCHW order; the grid stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, same_grid


class Reshape(Op):
    """Input: uint8 or float32, any shape.  Output: the same, of shape `shape`."""

    name = "reshape"
    arity = 1
    input_dtypes = (("uint8", "float32"),)
    output_dtypes = ("uint8", "float32")
    attributes = ("shape",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        shape = tuple(int(extent) for extent in node.attributes["shape"])  # type: ignore[attr-defined]
        expect(
            int(np.prod(shape)) == inputs[0].spec.size,
            node,
            f"{inputs[0].spec.shape} has {inputs[0].spec.size} elements, {shape} has {int(np.prod(shape))}",
        )
        return shape

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return arrays[0].reshape(output.spec.shape)
