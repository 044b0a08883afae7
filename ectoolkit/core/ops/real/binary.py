"""float_add, float_subtract, float_multiply, float_divide, float_maximum, float_minimum, float_power.

Operands may be of different shapes: axes are matched from the last, and one of extent 1 (or missing) repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import expect
from ectoolkit.core.ops.real.base import RealOp

#: by name of the operation
BINARY: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "float_add": np.add,
        "float_divide": np.divide,
        "float_maximum": np.maximum,
        "float_minimum": np.minimum,
        "float_multiply": np.multiply,
        "float_power": np.power,
        "float_subtract": np.subtract,
    }
)


class FloatBinary(RealOp):
    """Inputs: float32, shapes that broadcast.  Output: float32, the broadcast shape."""

    arity = 2

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        shapes = [value.spec.shape for value in inputs]
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            expect(False, node, f"operands of {shapes[0]} and {shapes[1]} do not fit: axes must be equal or 1")
            raise

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(BINARY[self.name](*arrays))
