"""linear: fully connected layer, computed on the host beside the accelerator.

    acc = Σ w · (x - z_in) + bias
    q   = clip(floor(float32(acc) · float32(m) + 0.5) + z_out, 0, quant_max),  m = s_in · s_w / s_out

The host rounds in float32, not in fixed point: that is what TVM's host code does in EdgeCortix's compiler.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, codes, expect, grid
from ectoolkit.core.ops.convolution import accumulator_ratio, check_accumulator


class Linear(Op):
    """Inputs: x uint8 ``(N, ..., I)``, weight int8 OI, bias int32 C.  Output: uint8 ``(N, ..., O)``."""

    name = "linear"
    arity = 3
    input_dtypes = (("uint8",), ("int8",), ("int32",))
    attributes = ("relu",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        shape, weight = inputs[0].spec.shape, inputs[1].spec.shape
        fits = len(shape) > 1 and len(weight) == 2 and shape[-1] == weight[1]
        expect(fits, node, f"weight {weight} does not fit input {shape}")
        return (*shape[:-1], weight[0])

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        x, weight, bias = inputs
        check_accumulator(node, x, weight, bias, output, constants)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, weight, bias = arrays
        centred = x.astype(np.float64) - grid(inputs[0]).zero_point
        acc = (centred @ weight.T.astype(np.float64)).astype(np.int64) + bias
        ratio = accumulator_ratio(inputs[2], output).astype(np.float32)
        rounded = np.floor(acc.astype(np.float32) * ratio + np.float32(0.5))
        # beyond +-512 the code saturates whatever the zero point: cut before the cast, which would wrap
        steps = np.clip(rounded, -512, 512).astype(np.int32)
        return codes(steps, grid(output), relu=bool(node.attributes["relu"]))

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        return output.spec.size * inputs[1].spec.shape[1]
