"""Differences between two results, with their table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.core import compare as core

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "tensor",
    "elements",
    "mismatches",
    "max_abs_diff",
    "mean_abs_diff",
    "correct_ratio",
    "first_index",
    "candidate",
    "reference",
)


class Diff(core.Diff):
    """`ectoolkit.core.compare.Diff` with a table."""

    def to_frame(self) -> pd.DataFrame:
        """One row a tensor.

        Columns: ``tensor`` name; ``elements`` compared; ``mismatches`` not equal; ``max_abs_diff`` and
        ``mean_abs_diff`` in the tensor's unit; ``correct_ratio`` share of equal elements; ``first_index`` of the first
        mismatch as text, with the ``candidate`` and ``reference`` values there.
        """
        rows = [
            {
                "tensor": t.name,
                "elements": t.elements,
                "mismatches": t.mismatches,
                "max_abs_diff": t.max_abs_diff,
                "mean_abs_diff": t.mean_abs_diff,
                "correct_ratio": t.correct_ratio,
                "first_index": None if t.first_index is None else str(list(t.first_index)),
                "candidate": t.candidate,
                "reference": t.reference,
            }
            for t in self.tensors
        ]
        return frame(rows, COLUMNS)


def compare(
    candidate: np.ndarray | Sequence[np.ndarray],
    reference: np.ndarray | Sequence[np.ndarray],
    names: Sequence[str] | None = None,
) -> Diff:
    """Compare two results in every element; see `ectoolkit.core.compare.compare`."""
    return Diff(core.compare(candidate, reference, names).tensors)
