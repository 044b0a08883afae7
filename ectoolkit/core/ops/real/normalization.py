"""float_layer_norm and float_group_norm: mean 0 and variance 1 over some axes, then a factor and a shift.

y = (x - mean) / sqrt(variance + epsilon) · weight + bias        variance = mean((x - mean)²)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import expect, number, whole
from ectoolkit.core.ops.real.base import RealOp


def normalized(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    """Without factor and shift."""
    centred = x - x.mean(axis=axes, keepdims=True)
    return np.asarray(centred / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + epsilon))


class FloatLayerNorm(RealOp):
    """Inputs: x float32, weight and bias float32 of the last axes' shape.  Output: as x.

    The axes that weight and bias have are those that are normalized.
    """

    name = "float_layer_norm"
    arity = 3
    attributes = ("epsilon",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        shape, weight, bias = (value.spec.shape for value in inputs)
        fits = weight == bias and 0 < len(weight) <= len(shape) and shape[len(shape) - len(weight) :] == weight
        expect(fits, node, f"weight {weight} and bias {bias} do not fit the last axes of {shape}")
        return shape

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, weight, bias = arrays
        axes = tuple(range(x.ndim - weight.ndim, x.ndim))
        return normalized(x, axes, number(node, "epsilon")) * weight + bias


class FloatGroupNorm(RealOp):
    """Inputs: x float32 ``(N, C, ...)``, weight and bias float32 ``(C,)``.  Output: as x.

    Attributes of a node: ``groups`` of neighbouring channels, each normalized by itself (C of them: instance norm);
    ``epsilon``.
    """

    name = "float_group_norm"
    arity = 3
    attributes = ("groups", "epsilon")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        shape, weight, bias = (value.spec.shape for value in inputs)
        groups = whole(node, "groups")
        fits = len(shape) > 1 and weight == bias == (shape[1],) and groups > 0 and shape[1] % groups == 0
        expect(fits, node, f"weight {weight}, bias {bias} and {groups} groups do not fit the channels of {shape}")
        return shape

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, *factors = arrays
        grouped = x.reshape(x.shape[0], whole(node, "groups"), -1)
        weight, bias = (factor.reshape(-1, *[1] * (x.ndim - 2)) for factor in factors)
        return normalized(grouped, (2,), number(node, "epsilon")).reshape(x.shape) * weight + bias
