"""slice and transpose: the same codes, fewer of them or in another order; the grid stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, same_grid, whole, wholes


class _Moved(Op):
    arity = 1
    input_dtypes = (("uint8",),)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)


class Slice(_Moved):
    """Input: uint8, any shape.  Output: uint8, ``begin`` to before ``end`` along ``axis``."""

    name = "slice"
    attributes = ("axis", "begin", "end")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        axis, begin, end = (whole(node, name) for name in self.attributes)
        shape = inputs[0].spec.shape
        fits = 0 <= axis < len(shape) and 0 <= begin < end <= shape[axis]
        expect(fits, node, f"{begin}:{end} along axis {axis} does not lie inside {shape}")
        return (*shape[:axis], end - begin, *shape[axis + 1 :])

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        axis, begin, end = (whole(node, name) for name in self.attributes)
        return np.take(arrays[0], range(begin, end), axis=axis)


class Transpose(_Moved):
    """Input: uint8, any shape.  Output: uint8, axis ``order[i]`` of the input in place ``i``."""

    name = "transpose"
    attributes = ("order",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        order = wholes(node, "order")
        shape = inputs[0].spec.shape
        expect(sorted(order) == list(range(len(shape))), node, f"order {order} does not permute the axes of {shape}")
        return tuple(shape[axis] for axis in order)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.ascontiguousarray(arrays[0].transpose(wholes(node, "order")))
