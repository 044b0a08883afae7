"""precise_add: addition with one rounding, with or without ReLU, for graphs that no accelerator dictates.

Each operand may be the raw int32 accumulator of a convolution.  Both are brought to the output's grid with `FRACTION`
more bits, added, and rounded once:

    t = cut(R(q_X - z_X, 2^F · s_X / s_out)) + cut(R(q_Y - z_Y, 2^F · s_Y / s_out))      cut: to ±2^29
    q = clip(((t + 2^(F - 1)) >> F) + z_out, lo, 255)      lo = z_out under ReLU, else 0; F = 12

R is `ectoolkit.core.arithmetic.requantize`.  The accelerator's own add (`ectoolkit.core.ops.add`) rounds up to three
times, on nine bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, codes, expect, grid

#: bits below the output's codes
FRACTION = 12
#: what a term may reach, so that two of them stay within int32: 2^17 codes
LIMIT = 2**29


class PreciseAdd(Op):
    """Inputs: X and Y, uint8 or int32, same shape.  Output: uint8."""

    name = "precise_add"
    arity = 2
    input_dtypes = (("uint8", "int32"), ("uint8", "int32"))
    attributes = ("relu",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        first, second = inputs[0].spec.shape, inputs[1].spec.shape
        expect(first == second, node, f"operands must have one shape, got {first} and {second}")
        return first

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        for value in inputs:
            term_multiplier(node, value, output)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        first, second = (
            _term(node, value, output, array.astype(np.int64)) for value, array in zip(inputs, arrays, strict=True)
        )
        rounded = (first + second + (1 << (FRACTION - 1))) >> FRACTION
        return codes(rounded, grid(output), relu=bool(node.attributes["relu"]))


def _term(node: Node, value: Value, output: Value, array: np.ndarray) -> np.ndarray:
    multiplier, shift = term_multiplier(node, value, output)
    if multiplier.ndim:  # one scale a channel
        multiplier, shift = multiplier[:, None, None], shift[:, None, None]
    moved = arithmetic.requantize(array - grid(value).zero_point, multiplier, shift)
    return np.clip(moved, -LIMIT, LIMIT)


def term_multiplier(node: Node, value: Value, output: Value) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier and shift of one operand, ``()`` or ``(channels,)``; see `arithmetic.requantize_multiplier`."""
    ratio = grid(value).scale.astype(np.float64) / np.float64(grid(output).scale)
    return arithmetic.requantize_multiplier(ratio * 2.0**FRACTION, node.name)
