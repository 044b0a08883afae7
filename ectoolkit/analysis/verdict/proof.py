"""What exactly went in, at every stage: a result on other bytes proves nothing.

A second normalization on an Alveo U50 once cost a user 86 points of accuracy, and no layer was wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.core.deployment import from_layout
from ectoolkit.core.types import Layout

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("stage", "input", "dtype", "shape", "layout", "minimum", "maximum", "mean", "sha256", "same")


@dataclass(frozen=True)
class InputFacts:
    """One input as one stage takes it.

    Attributes:
        stage: who takes it.
        input: its name.
        dtype: numpy name.
        shape: in `layout`.
        layout: order of the axes.
        minimum, maximum, mean: of the values.
        sha256: of the values in the graph's layout, little-endian: equal where the numbers are, whatever the layout.
    """

    stage: str
    input: str
    dtype: str
    shape: tuple[int, ...]
    layout: str
    minimum: float
    maximum: float
    mean: float
    sha256: str

    @classmethod
    def of(cls, stage: str, name: str, array: np.ndarray, layout: Layout) -> InputFacts:
        """Look at an array that lies in `layout`."""
        graph_order = np.ascontiguousarray(from_layout(array, layout))
        digest = hashlib.sha256(graph_order.astype(graph_order.dtype.newbyteorder("<")).tobytes()).hexdigest()
        low, high, mean = float(array.min()), float(array.max()), float(array.mean(dtype=np.float64))
        return cls(stage, name, array.dtype.name, array.shape, str(layout), low, high, mean, digest)


@dataclass(frozen=True)
class InputProof:
    """The inputs of all stages, the first stage being what all are compared with; truthy where all are the same."""

    facts: tuple[InputFacts, ...]

    def __bool__(self) -> bool:
        return all(self.same(facts) for facts in self.facts)

    def same(self, facts: InputFacts) -> bool:
        """Whether a stage takes the numbers that the first one takes."""
        first = next(other for other in self.facts if other.input == facts.input)
        return (facts.dtype, facts.sha256) == (first.dtype, first.sha256)

    @property
    def first_odd(self) -> InputFacts | None:
        """The first that is not the same."""
        return next((facts for facts in self.facts if not self.same(facts)), None)

    @property
    def trouble(self) -> str:
        """Which stage takes other numbers, and how they differ, in words; empty where all take the same."""
        odd = self.first_odd
        if odd is None:
            return ""
        first = next(facts for facts in self.facts if facts.input == odd.input)
        return (
            f"{odd.stage} takes other numbers as {odd.input} than {first.stage}: {odd.dtype} from {odd.minimum:.4g} to "
            f"{odd.maximum:.4g}, expected {first.dtype} from {first.minimum:.4g} to {first.maximum:.4g}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a stage and input.

        Columns: ``stage``; ``input`` name; ``dtype``; ``shape`` as text, in ``layout``; ``minimum``, ``maximum`` and
        ``mean`` of the values; ``sha256`` of the values in the graph's layout; ``same`` as the first stage's.
        """
        rows = [
            {name: getattr(facts, name) for name in COLUMNS[:-1]}
            | {"shape": "×".join(map(str, facts.shape)), "same": self.same(facts)}
            for facts in self.facts
        ]
        return frame(rows, COLUMNS)


def facts_of(stage: str, names: Sequence[str], arrays: Sequence[np.ndarray]) -> tuple[InputFacts, ...]:
    """A stage that takes the graph's layout."""
    layouts = [Layout.of_activation(array.ndim) for array in arrays]
    return tuple(InputFacts.of(stage, n, a, lay) for n, a, lay in zip(names, arrays, layouts, strict=True))
