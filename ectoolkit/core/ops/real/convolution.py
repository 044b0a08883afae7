"""float_conv2d and float_conv_transpose2d: convolutions that the user kept in float."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import expect, pair, whole
from ectoolkit.core.ops.conv_transpose import ATTRIBUTES, enlarge, enlarged_shape
from ectoolkit.core.ops.convolution import Conv2d, convolve
from ectoolkit.core.ops.real.base import RealOp


class FloatConv2d(RealOp):
    """Inputs: x float32 NCHW, weight float32 OIHW, bias float32 C.  Output: float32 NCHW."""

    name = "float_conv2d"
    arity = 3
    rank = 4
    attributes = ("stride", "padding", "dilation", "groups")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return _with_bias(node, inputs, Conv2d().output_shape(node, inputs))

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, weight, bias = arrays
        steps = (pair(node, "stride"), pair(node, "padding"), pair(node, "dilation"))
        return convolve(x, weight, *steps, whole(node, "groups")) + bias[:, None, None]

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        return output.spec.size * int(np.prod(inputs[1].spec.shape[1:]))


class FloatConvTranspose2d(RealOp):
    """Inputs: x float32 NCHW, weight float32 OIHW as for ``conv_transpose2d``, bias float32 C.  Output: NCHW."""

    name = "float_conv_transpose2d"
    arity = 3
    rank = 4
    attributes = ATTRIBUTES

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return _with_bias(node, inputs, enlarged_shape(node, inputs[0].spec.shape, inputs[1].spec.shape))

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, weight, bias = arrays
        return enlarge(node, x, weight) + bias[:, None, None]

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        o, _, kh, kw = inputs[1].spec.shape
        return inputs[0].spec.size * kh * kw * (o // whole(node, "groups"))


def _with_bias(node: Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> tuple[int, ...]:
    bias = inputs[2].spec.shape
    expect(bias == (shape[1],), node, f"bias {bias} does not fit {shape[1]} output channels")
    return shape
