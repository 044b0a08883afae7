"""Error sums of torch tensors, each element read as few times as can be and several images with each call.

float32 products are summed in short rows and these in float64, so that the sums are right to 1e-6 of themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ectoolkit._optional import require
from ectoolkit.core.metrics import ErrorSums
from ectoolkit.core.types import QuantParams

#: float32 squares summed before float64 takes over
ROW = 1024


def reference_sums(x: Any) -> list[ErrorSums]:
    """What depends on the reference alone, for each image; as if the candidate were equal.

    Args:
        x: torch float32 ``(images, ...)``.
    """
    flat = _flat(x)
    low, high = flat.amin(1).tolist(), flat.amax(1).tolist()  # aminmax of rows is ten times as slow
    signal, count = squares(flat).tolist(), flat.shape[1]
    return [
        ErrorSums(count, *(square, 0.0, square, 0.0, 0.0), smallest, largest)
        for square, smallest, largest in zip(signal, low, high, strict=True)
    ]


def error_sums(references: Sequence[ErrorSums], x: Any, y: Any, grid: QuantParams | None = None) -> list[ErrorSums]:
    """Sums over ``e = x - y``, for each image.

    Args:
        references: `reference_sums` of `x`.
        x, y: torch float32 ``(images, ...)`` of one shape.
        grid: that y's values lie on, to count those at its ends; None counts none.
    """
    ends = [(math.nan, math.nan)] * len(references) if grid is None else at_ends(y, grid)
    if x is y:
        return [replace(known, low=low, high=high) for known, (low, high) in zip(references, ends, strict=True)]
    error = _flat(x - y)
    noise = squares(error).tolist()
    error.abs_()
    absolute, largest, square = error.sum(1).tolist(), error.amax(1).tolist(), squares(_flat(y)).tolist()
    return [
        replace(known, noise=e2, square=y2, absolute=total, largest=most, low=low, high=high)
        for known, e2, y2, total, most, (low, high) in zip(
            references, noise, square, absolute, largest, ends, strict=True
        )
    ]


def squares(flat: Any) -> Any:
    """Σx² of each row: torch float64 ``(rows,)`` of float32 ``(rows, elements)``."""
    torch = require("torch", feature="Measuring layers")
    whole = flat.shape[1] // ROW * ROW
    total = torch.linalg.vector_norm(_rows(flat, whole), dim=2).double().square_().sum(1) if whole else 0
    return total + flat[:, whole:].double().square_().sum(1) if whole < flat.shape[1] else total


def at_ends(y: Any, grid: QuantParams) -> list[tuple[float, float]]:
    """How many values of each image are at the smallest and at the largest of a grid that all of them lie on."""
    flat, scale = _flat(y), float(grid.scalar)
    low, high = (scale * (end - grid.zero_point) for end in (grid.quant_min, grid.quant_max))
    at_low, at_high = _at_zero(flat if low == 0 else flat - low, scale), [0.0] * len(flat)
    if float(flat.amax()) > high - scale / 2:  # mostly none is there
        at_high = _at_zero(high - flat, scale)
    return list(zip(at_low, at_high, strict=True))


def _at_zero(steps: Any, scale: float) -> list[float]:
    """How many of values that are 0 or whole steps above it are 0, in each row.

    All others are cut to one step and summed in short rows, where float32 tells each step: faster than torch compares
    and counts truth values.
    """
    cut, count = steps.clamp(max=scale), steps.shape[1]
    whole = count // ROW * ROW
    above = cut[:, whole:].sum(1).double().div_(scale).round_()
    if whole:
        above += _rows(cut, whole).sum(2).double().div_(scale).round_().sum(1)
    return [count - one for one in above.tolist()]


def _rows(flat: Any, whole: int) -> Any:
    """The first elements of each image, which `ROW` divides, as ``(images, rows, ROW)``."""
    return flat[:, :whole].unflatten(1, (-1, ROW))


def _flat(x: Any) -> Any:
    """``(images, elements)`` in the order of memory where it is dense, so that nothing is copied."""
    if x.ndim == 4 and not x.is_contiguous():
        x = x.permute(0, 2, 3, 1)
    return x.reshape(x.shape[0], -1)
