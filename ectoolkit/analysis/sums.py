"""Error sums of torch tensors, each element read from memory once and several images with each call.

A tensor is taken in blocks that stay in the processor's cache for all that is asked of them, and nothing of a tensor's
size is allocated: on a fresh tensor of many megabytes, page faults take ten times as long as the arithmetic.  float32
products are summed in short rows and these in float64, so that the sums are right to 1e-6 of themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ectoolkit._optional import require
from ectoolkit.core.metrics import ErrorSums
from ectoolkit.core.types import QuantParams

#: float32 squares summed before float64 takes over
ROW = 1024
#: elements of one block, over all images
BLOCK = 256 * ROW


def reference_sums(x: Any) -> list[ErrorSums]:
    """What depends on the reference alone, for each image; as if the candidate were equal.

    Args:
        x: torch float32 ``(images, ...)``.
    """
    torch = require("torch", feature="Measuring layers")
    flat = _flat(x)
    found = [(part.amin(1), part.amax(1), squares(part)) for (part,) in _blocks(flat)]
    lows, highs, signals = (torch.stack(column) for column in zip(*found, strict=True))
    ends = zip(signals.sum(0).tolist(), lows.amin(0).tolist(), highs.amax(0).tolist(), strict=True)
    return [ErrorSums(flat.shape[1], *(square, 0.0, square, 0.0, 0.0), low, high) for square, low, high in ends]


def error_sums(references: Sequence[ErrorSums], x: Any, y: Any, grid: QuantParams | None = None) -> list[ErrorSums]:
    """Sums over ``e = x - y``, for each image.

    Args:
        references: `reference_sums` of `x`.
        x, y: torch float32 ``(images, ...)`` of one shape.
        grid: that y's values lie on, to count those at its ends; None counts none.
    """
    torch = require("torch", feature="Measuring layers")
    if x is y:
        ends = [(math.nan, math.nan)] * len(references) if grid is None else at_ends(y, grid)
        return [replace(known, low=low, high=high) for known, (low, high) in zip(references, ends, strict=True)]
    if x.stride() != y.stride():
        y = torch.empty_like(x).copy_(y)
    flat = _flat(x)
    scratch = torch.empty(len(flat), _width(flat))
    counter = None if grid is None else _Ends(grid)
    found, counts = [], []
    for part, other in _blocks(flat, _flat(y)):
        error = torch.sub(part, other, out=scratch[:, : part.shape[1]])
        noise = squares(error)
        error.abs_()
        found.append((noise, squares(other), error.sum(1), error.amax(1)))
        if counter is not None:
            counts.append(counter.count(other, error))
    noises, others, totals, most = (torch.stack(column) for column in zip(*found, strict=True))
    columns = (noises.sum(0), others.sum(0), totals.double().sum(0), most.amax(0))
    sums = zip(references, *(column.tolist() for column in columns), _added(counts, len(flat)), strict=True)
    return [
        replace(known, noise=e2, square=y2, absolute=total, largest=largest, low=low, high=high)
        for known, e2, y2, total, largest, (low, high) in sums
    ]


def squares(flat: Any) -> Any:
    """Σx² of each row: torch float64 ``(rows,)`` of float32 ``(rows, elements)``."""
    torch = require("torch", feature="Measuring layers")
    whole = flat.shape[1] // ROW * ROW
    total = torch.linalg.vector_norm(_rows(flat, whole), dim=2).double().square_().sum(1) if whole else 0
    return total + flat[:, whole:].double().square_().sum(1) if whole < flat.shape[1] else total


def at_ends(y: Any, grid: QuantParams) -> list[tuple[float, float]]:
    """How many values of each image are at the smallest and at the largest of a grid that all of them lie on."""
    torch = require("torch", feature="Measuring layers")
    flat, counter = _flat(y), _Ends(grid)
    scratch = torch.empty(len(flat), _width(flat))
    return _added([counter.count(part, scratch[:, : part.shape[1]]) for (part,) in _blocks(flat)], len(flat))


class _Ends:
    """Counts values at the ends of a grid."""

    def __init__(self, grid: QuantParams) -> None:
        self._scale = float(grid.scalar)
        self._low, self._high = (self._scale * (end - grid.zero_point) for end in (grid.quant_min, grid.quant_max))

    def count(self, y: Any, scratch: Any) -> tuple[Any, Any]:
        """At the low and at the high end of each row, float64 ``(rows,)``; `scratch` is overwritten."""
        torch = require("torch", feature="Measuring layers")
        steps = y if self._low == 0 else torch.sub(y, self._low, out=scratch)
        low = self._at_zero(steps, scratch)
        if float(y.amax()) <= self._high - self._scale / 2:  # mostly none is there
            return low, torch.zeros_like(low)
        return low, self._at_zero(torch.rsub(y, self._high), scratch)

    def _at_zero(self, steps: Any, scratch: Any) -> Any:
        """How many of values that are 0 or whole steps above it are 0, in each row.

        All others are cut to one step and summed in short rows, where float32 tells each step: faster than torch
        compares and counts truth values.
        """
        torch = require("torch", feature="Measuring layers")
        cut, count = torch.clamp(steps, max=self._scale, out=scratch), steps.shape[1]
        whole = count // ROW * ROW
        above = cut[:, whole:].sum(1).double().div_(self._scale).round_()
        if whole:
            above += _rows(cut, whole).sum(2).double().div_(self._scale).round_().sum(1)
        return count - above


def _added(counts: Sequence[tuple[Any, Any]], images: int) -> list[tuple[float, float]]:
    """Blocks' counts as one; NaN where nobody counted."""
    torch = require("torch", feature="Measuring layers")
    if not counts:
        return [(math.nan, math.nan)] * images
    low, high = (torch.stack(column).sum(0).tolist() for column in zip(*counts, strict=True))
    return list(zip(low, high, strict=True))


def _blocks(*flats: Any) -> Iterator[tuple[Any, ...]]:
    """The same columns of tensors of one shape, some at a time."""
    yield from zip(*(flat.split(_width(flat), 1) for flat in flats), strict=True)


def _width(flat: Any) -> int:
    """Columns of a block: whole rows."""
    return ROW * max(1, BLOCK // ROW // len(flat))


def _rows(flat: Any, whole: int) -> Any:
    """The first elements of each image, which `ROW` divides, as ``(images, rows, ROW)``."""
    return flat[:, :whole].unflatten(1, (-1, ROW))


def _flat(x: Any) -> Any:
    """``(images, elements)`` in the order of memory where it is dense, so that nothing is copied."""
    if x.ndim == 4 and not x.is_contiguous():
        x = x.permute(0, 2, 3, 1)
    return x.reshape(x.shape[0], -1)
