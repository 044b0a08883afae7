"""Were the calibration images enough: how much each scale still moves as images are added."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.quantization.statistics import Statistics, TensorStatistics

if TYPE_CHECKING:
    import pandas as pd

#: a scale this close to the final one is settled
SETTLED = 0.01


def sufficiency_table(statistics: Statistics) -> pd.DataFrame:
    """One row a tensor, of its min-max scale: what decides most of all how the scale moves.

    Columns: ``tensor`` name of layer or input; ``images`` seen; ``after_1``, ``after_2``, ``after_4``, ... up to fewer
    than all images: the scale after so many, divided by the final one (1: it does not move any more); ``settled_after``
    the number of images from which on it stayed within 1 % of the final scale.  A tensor that settled only with the
    last images would likely move on with more.
    """
    counts = [2**power for power in range(max(statistics.images - 1, 0).bit_length()) if 2**power < statistics.images]
    columns = {"tensor": "str", "images": "int64", **{f"after_{count}": "float64" for count in counts}}
    rows = [_row(name, tensor, counts) for name, tensor in statistics.tensors.items() if tensor.count]
    return frame(rows, {**columns, "settled_after": "int64"})


def _row(name: str, tensor: TensorStatistics, counts: list[int]) -> dict[str, object]:
    low = np.minimum(np.minimum.accumulate(tensor.image_minimum), 0)  # 0 always has a code
    high = np.maximum(np.maximum.accumulate(tensor.image_maximum), 0)
    span = high - low
    ratio = span / span[-1] if span[-1] else np.ones_like(span)
    moving = np.flatnonzero(np.abs(ratio - 1) > SETTLED)
    row: dict[str, object] = {"tensor": name, "images": len(span)}
    row |= {f"after_{count}": float(ratio[count - 1]) for count in counts}
    row["settled_after"] = int(moving[-1]) + 2 if len(moving) else 1
    return row
