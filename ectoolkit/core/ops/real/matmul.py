"""float_matmul, float_linear and float_attention: products summed along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import expect, number
from ectoolkit.core.ops.real.base import RealOp
from ectoolkit.core.ops.real.softmax import softmax


class FloatMatmul(RealOp):
    """Inputs: float32 ``(..., M, K)`` and ``(..., K, P)``; axes before fit or are 1.  Output: ``(..., M, P)``."""

    name = "float_matmul"
    arity = 2

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        left, right = (value.spec.shape for value in inputs)
        return (*batch_of(node, left, right), left[-2], right[-1])

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(arrays[0] @ arrays[1])

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        return output.spec.size * inputs[0].spec.shape[-1]


def batch_of(node: Node, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """The axes before the last two of a product of matrices, checked."""
    fits = min(len(left), len(right)) > 1 and left[-1] == right[-2]
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        fits = False
    expect(fits, node, f"matrices of {left} and {right} cannot be multiplied")
    return batch


class FloatLinear(RealOp):
    """Inputs: x float32 ``(..., I)``, weight float32 OI, bias float32 C.  Output: float32 ``(..., O)``."""

    name = "float_linear"
    arity = 3

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        x, weight, bias = (value.spec.shape for value in inputs)
        fits = bool(x) and len(weight) == 2 and x[-1] == weight[1] and bias == weight[:1]
        expect(fits, node, f"weight {weight} and bias {bias} do not fit input {x}")
        return (*x[:-1], weight[0])

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, weight, bias = arrays
        return np.asarray(x @ weight.T + bias)

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        return output.spec.size * inputs[1].spec.shape[1]


class FloatAttention(RealOp):
    """Inputs: query float32 ``(..., L, E)``, key ``(..., S, E)``, value ``(..., S, V)``, axes before equal.

    Output: float32 ``(..., L, V)``, ``softmax(query · keyᵀ · scale) · value``; attribute of a node: ``scale``.
    """

    name = "float_attention"
    arity = 3
    attributes = ("scale",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        query, key, value = (value.spec.shape for value in inputs)
        ranks = {len(query), len(key), len(value)}
        fits = len(ranks) == 1 and len(query) > 1 and query[:-2] == key[:-2] == value[:-2]
        fits = fits and query[-1] == key[-1] and key[-2] == value[-2]
        expect(fits, node, f"query {query}, key {key} and value {value} do not fit")
        return (*query[:-1], value[-1])

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        query, key, value = arrays
        shares = softmax(query @ np.swapaxes(key, -1, -2) * number(node, "scale"), query.ndim - 1)
        return np.asarray(shares @ value)

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        query, key, _ = (value.spec.shape for value in inputs)
        return int(np.prod(query)) * key[-2] + output.spec.size * key[-2]
