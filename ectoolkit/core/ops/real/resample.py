"""float_resample: each output row a weighted sum of input rows, each output column of input columns.

    y[n, c] = rows · x[n, c] · columnsᵀ

Whatever enlarges, shrinks or averages by axis is one: bilinear and bicubic resizing with aligned corners or not,
average pools of any window, border rule and size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import expect
from ectoolkit.core.ops.real.base import RealOp


class FloatResample(RealOp):
    """Inputs: x float32 ``(N, C, H, W)``, rows float32 ``(P, H)``, columns float32 ``(Q, W)``, both constant.

    Output: float32 ``(N, C, P, Q)``.
    """

    name = "float_resample"
    arity = 3
    rank = 4

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        x, rows, columns = (value.spec.shape for value in inputs)
        fits = len(rows) == len(columns) == 2 and (rows[1], columns[1]) == x[2:]
        expect(fits, node, f"weights {rows} of rows and {columns} of columns do not fit {x}")
        return (*x[:2], rows[0], columns[0])

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        given = constants[1] is not None and constants[2] is not None
        expect(given, node, "the weights of rows and columns must be constants of the graph")

    def compute(self, node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, rows, columns = arrays
        return np.asarray(rows @ (x @ columns.T))
