"""multiply: product of two tensors, either of them repeated along axes where it has one element.

    q = clip(R((q_a - z_a) · (q_b - z_b), s_a · s_b / s_out) + z_out, 0, quant_max)

ectoolkit's own rule: what EdgeCortix's compiler does with a product is not settled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, codes, expect, grid


class Multiply(Op):
    """Inputs: uint8 of one rank, each axis equal or 1.  Output: uint8, the larger extent of each axis."""

    name = "multiply"
    arity = 2
    input_dtypes = (("uint8",), ("uint8",))

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        first, second = inputs[0].spec.shape, inputs[1].spec.shape
        fits = len(first) == len(second) and all(a == b or 1 in (a, b) for a, b in zip(first, second, strict=False))
        expect(fits, node, f"operands of {first} and {second} do not fit: axes must be equal, or 1 in one of them")
        return tuple(max(a, b) for a, b in zip(first, second, strict=True))

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        arithmetic.requantize_multiplier(product_ratio(inputs, output), node.name)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        left, right = (a.astype(np.int64) - grid(v).zero_point for a, v in zip(arrays, inputs, strict=True))
        multiplier = arithmetic.requantize_multiplier(product_ratio(inputs, output), node.name)
        rounded = arithmetic.requantize(left * right, *multiplier)
        return codes(rounded, grid(output))


def product_ratio(inputs: Sequence[Value], output: Value) -> float:
    """Scale of the product over the output's."""
    scales = [np.float64(grid(value).scale) for value in (*inputs, output)]
    return float(scales[0] * scales[1] / scales[2])
