"""lookup: any function of one number, as a table of its 256 results; exact by construction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, grid


class Lookup(Op):
    """Inputs: x uint8, table uint8 ``(256,)``.  Output: uint8, ``table[x]``.

    Attributes of a node: ``function``, the name of what the table holds, for people.
    """

    name = "lookup"
    arity = 2
    input_dtypes = (("uint8",), ("uint8",))
    attributes = ("function",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return inputs[0].spec.shape

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        table = constants[1]
        expect(table is not None and table.shape == (256,), node, "needs a constant table of 256 codes")
        quant = grid(output)
        assert table is not None
        fits = quant.quant_min <= table.min() and table.max() <= quant.quant_max
        expect(
            fits, node, f"its table holds {table.min()}..{table.max()}, expected {quant.quant_min}..{quant.quant_max}"
        )

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return arrays[1][arrays[0]]
