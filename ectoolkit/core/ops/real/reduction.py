"""float_mean, float_sum, float_max, float_min: one number out of all along some axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import expect, wholes
from ectoolkit.core.ops.real.base import RealOp

#: by name of the operation
REDUCTIONS: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {"float_max": np.max, "float_mean": np.mean, "float_min": np.min, "float_sum": np.sum}
)


class FloatReduction(RealOp):
    """Input: float32.  Output: float32; the axes stay with extent 1 where ``keep``, else they go.

    Attributes of a node: ``axes``, ``keep``.
    """

    arity = 1
    attributes = ("axes", "keep")

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        shape, axes = inputs[0].spec.shape, wholes(node, "axes")
        fits = len(set(axes)) == len(axes) and all(0 <= axis < len(shape) for axis in axes)
        expect(fits and bool(axes), node, f"axes are {axes}, expected some of 0..{len(shape) - 1}, each once")
        if node.attributes["keep"]:
            return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
        expect(len(axes) < len(shape), node, "would leave no axis; keep them, or leave one out")
        return tuple(extent for axis, extent in enumerate(shape) if axis not in axes)

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        keep = bool(node.attributes["keep"])
        return np.asarray(REDUCTIONS[self.name](arrays[0], axis=wholes(node, "axes"), keepdims=keep))
