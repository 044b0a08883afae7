"""float_function: any function of one number.  float_prelu: a leaky ReLU with a slope a channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.functions import FUNCTIONS, function_of, parameter_names
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import expect, numbers
from ectoolkit.core.ops.real.base import RealOp


class FloatFunction(RealOp):
    """Input: float32.  Output: float32 of the same shape.

    Attributes of a node: ``function``, a key of `ectoolkit.core.functions.FUNCTIONS`; ``parameters`` of it.
    """

    name = "float_function"
    arity = 1
    attributes = ("function", "parameters")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        known = node.attributes["function"] in FUNCTIONS
        expect(known, node, f"there is no function {node.attributes['function']!r}; known: {', '.join(FUNCTIONS)}")
        numbers(node, "parameters", len(parameter_names(str(node.attributes["function"]))))
        return inputs[0].spec.shape

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        name = str(node.attributes["function"])
        return function_of(name, numbers(node, "parameters", len(parameter_names(name))))(arrays[0])


class FloatPrelu(RealOp):
    """Inputs: x float32 ``(N, C, ...)``, slope float32 ``(C,)``.  Output: ``x`` where positive, else ``slope * x``."""

    name = "float_prelu"
    arity = 2

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        shape, slope = inputs[0].spec.shape, inputs[1].spec.shape
        expect(len(shape) > 1 and slope == (shape[1],), node, f"slopes {slope} do not fit {shape}, one a channel")
        return shape

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, slope = arrays
        return np.where(x >= 0, x, slope.reshape(-1, *[1] * (x.ndim - 2)) * x)
