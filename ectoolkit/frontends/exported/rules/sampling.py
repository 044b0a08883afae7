"""Weights and places of resizing along one axis, by torch's rules.

Source:
    torch ``aten/src/ATen/native/UpSample.h`` and ``AdaptivePooling.h``, ``Pool.h``.
"""

from __future__ import annotations

import math

import numpy as np


def step(extent: int, size: int, factor: float | None, align_corners: bool = False) -> float:
    """Input elements a step of the output, along an axis of `extent` resized to `size`.

    Args:
        extent: of the input.
        size: of the output.
        factor: that the user gave, None where a size was given.
        align_corners: whether the first and last elements' centres meet.
    """
    if align_corners:
        return (extent - 1) / (size - 1) if size > 1 else 0.0
    return 1 / factor if factor else extent / size


def nearest(extent: int, size: int, factor: float | None, exact: bool) -> list[int]:
    """The places that nearest takes; torch counts in float32, and by whole numbers where an axis stays or doubles."""
    if not exact and size in (extent, 2 * extent):
        return [place * extent // size for place in range(size)]
    offset = np.float32(0.5 if exact else 0)
    places = np.floor((np.arange(size, dtype=np.float32) + offset) * np.float32(step(extent, size, factor)))
    return [int(place) for place in np.minimum(places, extent - 1)]


def linear(extent: int, size: int, factor: float | None, align_corners: bool) -> np.ndarray:
    """Weights ``(size, extent)``, float32; an axis that keeps its size is copied, whatever the factor."""
    if size == extent:
        return np.eye(size, dtype=np.float32)
    weights = np.zeros((size, extent))
    each = step(extent, size, factor, align_corners)
    for row in range(size):
        place = each * row if align_corners else max(each * (row + 0.5) - 0.5, 0.0)
        first = min(int(place), extent - 1)
        share = min(place - first, 1.0)
        weights[row, first] += 1 - share
        weights[row, min(first + 1, extent - 1)] += share
    return weights.astype(np.float32)


def cubic(extent: int, size: int, factor: float | None, align_corners: bool) -> np.ndarray:
    """Weights ``(size, extent)``, float32: four neighbours, those beyond the border are the border."""
    weights = np.zeros((size, extent))
    each = step(extent, size, factor, align_corners)
    for row in range(size):
        place = each * row if align_corners else each * (row + 0.5) - 0.5
        first = math.floor(place)
        for offset in range(-1, 3):
            weights[row, min(max(first + offset, 0), extent - 1)] += _cubic(place - first - offset)
    return weights.astype(np.float32)


def _cubic(distance: float, sharpness: float = -0.75) -> float:
    x = abs(distance)
    if x <= 1:
        return ((sharpness + 2) * x - (sharpness + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * sharpness if x < 2 else 0.0


def adaptive(extent: int, size: int) -> np.ndarray:
    """Weights ``(size, extent)``, float32: means of windows that cover the axis evenly."""
    weights = np.zeros((size, extent))
    for row in range(size):
        begin, end = row * extent // size, -(-(row + 1) * extent // size)
        weights[row, begin:end] = 1 / (end - begin)
    return weights.astype(np.float32)


def average(
    extent: int, size: int, kernel: int, stride: int, padding: int, count_padding: bool, divisor: int | None
) -> np.ndarray:
    """Weights ``(size, extent)``, float32, of an average pool; sums where a divisor is given."""
    weights = np.zeros((size, extent))
    for row in range(size):
        begin = row * stride - padding
        end = min(begin + kernel, extent + padding)
        whole = end - begin
        begin, end = max(begin, 0), min(end, extent)
        if end > begin:
            weights[row, begin:end] = 1 if divisor is not None else 1 / (whole if count_padding else end - begin)
    return weights.astype(np.float32)
