"""pad: a frame of real zeros around rows and columns; the grid stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, same_grid, wholes


class Pad(Op):
    """Input: uint8 or float32 NCHW.  Output: the same on the same grid; the frame has the code of real 0.

    Attributes of a node: ``amounts`` = (top, bottom, left, right).
    """

    name = "pad"
    arity = 1
    rank = 4
    input_dtypes = (("uint8", "float32"),)
    output_dtypes = ("uint8", "float32")
    attributes = ("amounts",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        amounts = wholes(node, "amounts")
        expect(len(amounts) == 4 and min(amounts) >= 0, node, f"amounts is {amounts!r}, expected four numbers from 0")
        top, bottom, left, right = amounts
        n, channels, height, width = inputs[0].spec.shape
        return n, channels, height + top + bottom, width + left + right

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        top, bottom, left, right = wholes(node, "amounts")
        frame = ((0, 0), (0, 0), (top, bottom), (left, right))
        zero = 0 if output.quant is None else output.quant.zero_point
        return np.pad(arrays[0], frame, constant_values=zero)
