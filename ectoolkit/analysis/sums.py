"""Error sums of torch tensors, each element read as few times as can be.

float32 products are summed in short rows and these in float64, so that the sums are right to 1e-6 of themselves.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ectoolkit._optional import require
from ectoolkit.core.metrics import ErrorSums
from ectoolkit.core.types import QuantParams

#: float32 squares summed before float64 takes over
ROW = 1024


def reference_sums(x: Any) -> ErrorSums:
    """What depends on the reference alone; as if the candidate were equal."""
    flat = _flat(x)
    low, high = (float(end) for end in flat.aminmax()) if len(flat) else (math.inf, -math.inf)
    square = squares(flat)
    return ErrorSums(len(flat), square, 0.0, square, 0.0, 0.0, low, high)


def error_sums(reference: ErrorSums, x: Any, y: Any, grid: QuantParams | None = None) -> ErrorSums:
    """Sums over ``e = x - y``.

    Args:
        reference: `reference_sums` of `x`.
        x, y: torch float32 of one shape.
        grid: that y's values lie on, to count those at its ends; None counts none.
    """
    if not reference.count:
        return reference
    ends = (math.nan, math.nan) if grid is None else at_ends(y, grid)
    if x is y:
        return replace(reference, low=ends[0], high=ends[1])
    error = _flat(x - y)
    noise = squares(error)
    error.abs_()
    return replace(
        reference,
        noise=noise,
        square=squares(_flat(y)),
        absolute=float(error.sum()),
        largest=float(error.amax()),
        low=ends[0],
        high=ends[1],
    )


def squares(flat: Any) -> float:
    """Σx² of a 1-D float32 tensor."""
    torch = require("torch", feature="Measuring layers")
    whole = len(flat) // ROW * ROW
    total = 0.0
    if whole:
        total = float(torch.linalg.vector_norm(flat[:whole].view(-1, ROW), dim=1).double().square_().sum())
    return total + float(flat[whole:].double().square_().sum())


def at_ends(y: Any, grid: QuantParams) -> tuple[float, float]:
    """How many values are at the smallest and at the largest of a grid that all of them lie on."""
    flat, scale = _flat(y), float(grid.scalar)
    low, high = (scale * (end - grid.zero_point) for end in (grid.quant_min, grid.quant_max))
    at_low = _at_zero(flat if low == 0 else flat - low, scale)
    at_high = _at_zero(high - flat, scale) if float(flat.amax()) > high - scale / 2 else 0  # mostly none is there
    return float(at_low), float(at_high)


def _at_zero(steps: Any, scale: float) -> int:
    """How many of values that are 0 or whole steps above it are 0.

    All others are cut to one step and summed in rows, short enough for float32 to tell each step: faster than torch
    compares and counts truth values.
    """
    cut = steps.clamp(max=scale)
    whole = len(cut) // ROW * ROW
    above = float(cut[whole:].sum()) / scale
    if whole:
        above += float((cut[:whole].view(-1, ROW).sum(1).double() / scale).round_().sum())
    return len(cut) - round(above)


def _flat(x: Any) -> Any:
    """All elements in the order of memory where it is dense, so that nothing is copied."""
    if x.ndim == 4 and not x.is_contiguous():
        x = x.permute(0, 2, 3, 1)
    return x.reshape(-1)
