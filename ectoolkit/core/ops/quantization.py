"""quantize and dequantize: the borders between real numbers and codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, grid


class Quantize(Op):
    """Input: float32.  Output: uint8.  See `ectoolkit.core.arithmetic.quantize`."""

    name = "quantize"
    arity = 1
    input_dtypes = (("float32",),)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return inputs[0].spec.shape

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        arithmetic.reciprocal_of(grid(output).scalar)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        quant = grid(output)
        return arithmetic.quantize(arrays[0], quant.scalar, quant.zero_point, quant.quant_min, quant.quant_max)


class Dequantize(Op):
    """Input: uint8.  Output: float32.  See `ectoolkit.core.arithmetic.dequantize`."""

    name = "dequantize"
    arity = 1
    input_dtypes = (("uint8",),)
    output_dtypes = ("float32",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return inputs[0].spec.shape

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        quant = grid(inputs[0])
        return arithmetic.dequantize(arrays[0], quant.scalar, quant.zero_point)
