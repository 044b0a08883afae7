"""Choices of a random graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import QuantParams


@dataclass(frozen=True)
class Draw:
    """Choices of one random graph: hypothesis decides structure, a seeded generator the numbers."""

    draw: st.DrawFn
    numbers: np.random.Generator

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def chance(self) -> bool:
        return self.draw(st.booleans())

    def grid(self, scale: float) -> QuantParams:
        """A grid of about this scale, mostly 8 bits, and any zero point: the ends, the middle or between."""
        last = 2 ** self.draw(st.sampled_from((8, 8, 8, 8, 7, 6, 5, 4))) - 1
        zero_point = self.draw(st.sampled_from((0, last, (last + 1) // 2, int(self.numbers.integers(last + 1)))))
        return QuantParams(np.asarray(scale * float(self.numbers.uniform(0.5, 2)), np.float32), zero_point, 0, last)


def scale_of(builder: GraphBuilder, name: str) -> float:
    """Real units a code of a value."""
    quant = builder.values[name].quant
    assert quant is not None
    return float(quant.scale)
