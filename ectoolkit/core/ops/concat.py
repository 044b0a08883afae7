"""concat: each input moved to the output's grid, then joined along an axis.

    q = clip(R(q_in - z_in, s_in / s_out) + z_out, 0, quant_max)

Real numbers are joined as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, codes, expect, grid, whole


class Concat(Op):
    """Inputs: all uint8 or all float32, any number, equal but for `axis`.  Output: of their dtype."""

    name = "concat"
    arity = None
    input_dtypes = (("uint8", "float32"),)
    attributes = ("axis",)
    output_dtypes = ("uint8", "float32")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        axis = whole(node, "axis")
        first = inputs[0].spec.shape
        rest = [v.spec.shape[:axis] + v.spec.shape[axis + 1 :] for v in inputs]
        expect(
            0 <= axis < len(first) and all(r == rest[0] for r in rest),
            node,
            f"shapes {[v.spec.shape for v in inputs]} cannot be joined along axis {axis}",
        )
        return (*first[:axis], sum(v.spec.shape[axis] for v in inputs), *first[axis + 1 :])

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        dtypes = {value.spec.dtype for value in (*inputs, output)}
        expect(len(dtypes) == 1, node, f"joins tensors of one dtype, got {', '.join(sorted(dtypes))}")
        for value in inputs if dtypes == {"uint8"} else ():
            arithmetic.requantize_multiplier(input_ratio(value, output), node.name)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        if output.spec.dtype == "float32":
            return np.concatenate(arrays, axis=whole(node, "axis"))
        parts = [on_grid_of(output, value, array, node.name) for value, array in zip(inputs, arrays, strict=True)]
        return np.concatenate(parts, axis=whole(node, "axis"))


def on_grid_of(output: Value, value: Value, array: np.ndarray, layer: str) -> np.ndarray:
    """Codes of one input as codes of the output."""
    multiplier = arithmetic.requantize_multiplier(input_ratio(value, output), layer)
    moved = arithmetic.requantize(array.astype(np.int64) - grid(value).zero_point, *multiplier)
    return codes(moved, grid(output))


def input_ratio(value: Value, output: Value) -> float:
    """Scale of one input over the output's."""
    return float(np.float64(grid(value).scale) / np.float64(grid(output).scale))
