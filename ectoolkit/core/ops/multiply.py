"""multiply: product of two tensors, either of them repeated along axes where it has one element.

    m = float32(float32(s_a · s_b) / s_out)
    y = float32((q_a - z_a) · (q_b - z_b) · m + z_out)      one rounding: a fused multiply-add
    q = clip(floor(float32(y + ½)), 0, quant_max)

EdgeCortix's compiler leaves products to the host, whose code TVM makes.  Found by black-box tests of MERA 1.6.0: equal
in 1,048,576 of 1,048,576 elements (every pair of codes under 16 draws of scales and zero points, most of them with
products on ties); fixed point with 26 or 31 bits and products that are rounded before the zero point is added differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, grid

#: beyond this a ratio says that calibration went wrong, as `ectoolkit.core.arithmetic.requantize_multiplier` does
LARGEST_RATIO = 2.0**25


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
        ratio = float(product_ratio(inputs, output))
        fits = 0 < ratio < LARGEST_RATIO
        expect(fits, node, f"its scales need a factor of {ratio:g}, expected above 0 and below 2**25")

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        left, right = (a.astype(np.float64) - grid(v).zero_point for a, v in zip(arrays, inputs, strict=True))
        quant = grid(output)
        # In float64 nothing is lost: 17 bits times 24 make 41, and a product too small to meet the zero point within
        # the other 12 is too small to move it.
        total = (left * right * np.float64(product_ratio(inputs, output)) + quant.zero_point).astype(np.float32)
        rounded = np.floor(total + np.float32(0.5))
        return np.clip(rounded, quant.quant_min, quant.quant_max).astype(np.uint8)


def product_ratio(inputs: Sequence[Value], output: Value) -> np.float32:
    """Scale of the product over the output's, each step rounded to float32."""
    with np.errstate(over="ignore", under="ignore"):
        return np.float32(grid(inputs[0]).scalar * grid(inputs[1]).scalar) / grid(output).scalar
