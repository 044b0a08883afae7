"""What the operations on real numbers share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, whole


class RealOp(Op):
    """Inputs and output: float32; computed in float64 and rounded once."""

    input_dtypes = (("float32",),)
    output_dtypes = ("float32",)
    real = True

    @abstractmethod
    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The result in float64 from float64 arrays."""

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        with np.errstate(all="ignore"):  # infinities and NaN go on as real numbers do; quantize refuses NaN
            return np.asarray(self.compute(node, [array.astype(np.float64) for array in arrays])).astype(np.float32)


def axis_of(node: Node, rank: int) -> int:
    """The setting ``axis``, checked."""
    axis = whole(node, "axis")
    expect(0 <= axis < rank, node, f"axis is {axis}, expected 0..{rank - 1}")
    return axis
