"""add: residual addition on the accelerator's nine-bit adder, with or without ReLU.

The first input is the main operand X, the second the other Y; the order matters (see
`ectoolkit.passes.residual_add`).  X may be the raw int32 accumulator of a convolution.

    p = clip(R(q_X - z_X, s_X / s_Y), -256, 255)      m = s_Y / s_out
    relu: q = clip(R(clip(p + q_Y - z_Y, -256, hi), m) + z_out, z_out, 255)
          hi = min(255, floor((255 - z_out) / m + 0.5))
    else: q = clip(S9(R(p, m) + z_out) + S9(R(q_Y - z_Y, m)), 0, 255)      S9 = clip to [-256, 255]

The last clip ends at the output's largest code where it uses fewer than 8 bits; the 255s before it are the adder's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, codes, expect, grid


class Add(Op):
    """Inputs: X uint8 or int32, Y uint8, same shape.  Output: uint8."""

    name = "add"
    arity = 2
    input_dtypes = (("uint8", "int32"), ("uint8",))
    attributes = ("relu",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        expect(
            inputs[0].spec.shape == inputs[1].spec.shape,
            node,
            f"operands must have one shape, got {inputs[0].spec.shape} and {inputs[1].spec.shape}",
        )
        return inputs[0].spec.shape

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        arithmetic.requantize_multiplier(main_ratio(inputs), node.name)
        arithmetic.requantize_multiplier(output_ratio(inputs, output), node.name)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        ratio = output_ratio(inputs, output)
        multiplier, shift = arithmetic.requantize_multiplier(main_ratio(inputs), node.name)
        if multiplier.ndim:  # one scale a channel
            multiplier, shift = multiplier[:, None, None], shift[:, None, None]
        main = arithmetic.requantize(arrays[0].astype(np.int64) - grid(inputs[0]).zero_point, multiplier, shift)
        main = arithmetic.saturate9(main)
        other = arrays[1].astype(np.int64) - grid(inputs[1]).zero_point
        scale_out = arithmetic.requantize_multiplier(ratio, node.name)
        quant = grid(output)
        zero_point = quant.zero_point
        if node.attributes["relu"]:
            total = np.clip(main + other, arithmetic.ADD_MIN, relu_ceiling(zero_point, ratio))
            return codes(arithmetic.requantize(total, *scale_out), quant, relu=True)
        left = arithmetic.saturate9(arithmetic.requantize(main, *scale_out) + zero_point)
        right = arithmetic.saturate9(arithmetic.requantize(other, *scale_out))
        return np.clip(left + right, quant.quant_min, quant.quant_max).astype(np.uint8)


def main_ratio(inputs: Sequence[Value]) -> np.ndarray:
    """float64 ``()`` or ``(channels,)``: scale of the main operand over that of the other."""
    return grid(inputs[0]).scale.astype(np.float64) / np.float64(grid(inputs[1]).scale)


def output_ratio(inputs: Sequence[Value], output: Value) -> float:
    """Scale of the other operand over the output's."""
    return float(np.float64(grid(inputs[1]).scale) / np.float64(grid(output).scale))


def relu_ceiling(zero_point: int, ratio: float) -> int:
    """Where the adder's sum is cut under ReLU, so that a saturated result can top out at 254."""
    return min(arithmetic.ADD_MAX, math.floor((255 - zero_point) / ratio + 0.5))
