"""float_softmax: shares of a whole along an axis, or their logarithms.

e = exp(x - max(x));  y = e / Σe,  or  y = x - max(x) - log(Σe)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.real.base import RealOp, axis_of


class FloatSoftmax(RealOp):
    """Input: float32.  Output: float32 of the same shape.

    Attributes of a node: ``axis``; ``log``, True for the logarithms.
    """

    name = "float_softmax"
    arity = 1
    attributes = ("axis", "log")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        axis_of(node, len(inputs[0].spec.shape))
        return inputs[0].spec.shape

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        axis = axis_of(node, arrays[0].ndim)
        if not node.attributes["log"]:
            return softmax(arrays[0], axis)
        shifted = arrays[0] - arrays[0].max(axis=axis, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Shares of the whole along an axis."""
    power = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(power / power.sum(axis=axis, keepdims=True))
