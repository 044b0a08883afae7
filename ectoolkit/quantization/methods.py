"""How a tensor's range is chosen from its statistics: one function a method.

A method gets a tensor's statistics and settings and returns the smallest and largest real value to be represented.
Real 0 always lies between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ectoolkit.quantization.distribution import Distribution
from ectoolkit.quantization.settings import RangeSettings
from ectoolkit.quantization.statistics import TensorStatistics

Range = tuple[float, float]
#: `typical`: a fifth of the images keeps a range at a quarter of theirs or more, however small most images' values are
OFTEN, FURTHER = 0.8, 4.0
#: weight of a new image in a moving average
_AVERAGING = 0.1
#: levels that the entropy method compares distributions at
_ENTROPY_LEVELS = 128
_ENTROPY_BINS = 2048


def minmax(statistics: TensorStatistics, settings: RangeSettings) -> Range:
    """Smallest and largest value seen."""
    return min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)


def moving_average(statistics: TensorStatistics, settings: RangeSettings) -> Range:
    """Averages of each image's smallest and largest value; later images weigh more.

    Source:
        torch ``MovingAverageMinMaxObserver``, with a constant of 0.1.
    """
    ends = np.array([statistics.image_minimum, statistics.image_maximum])
    weights = _AVERAGING * (1 - _AVERAGING) ** np.arange(ends.shape[1] - 1, -1, -1)
    weights[0] /= _AVERAGING  # the first image starts the average
    low, high = ends @ weights
    return min(float(low), 0.0), max(float(high), 0.0)


def median(statistics: TensorStatistics, settings: RangeSettings) -> Range:
    """Medians of each image's smallest and largest value: what a typical image needs.

    Most images then get finer steps than the one with the largest values would leave them, which for networks with
    rare large values is worth decibels.  A vector with one number a channel is not cut: its largest are the features
    that decide.
    """
    if statistics.channel_count == len(statistics.image_minimum):
        return minmax(statistics, settings)
    low, high = np.median([statistics.image_minimum, statistics.image_maximum], axis=1)
    return min(float(low), 0.0), max(float(high), 0.0)


def typical(statistics: TensorStatistics, settings: RangeSettings) -> Range:
    """The range of `mse`, but hardly wider than a typical image needs: `settings.spare` times the median of their ends.

    The squared error of all images together is mostly that of the few with the largest values: where one image in ten
    has values fifteen times those of the others (the last blocks of MobileNetV2), it leaves the others a few codes.

    See docs/decisions/0019.
    """
    if statistics.channel_count == len(statistics.image_minimum):
        return minmax(statistics, settings)  # as for `median`
    low, high = mse(statistics, settings)
    lowest, highest = np.array([statistics.image_minimum, statistics.image_maximum])
    if settings.symmetric:  # either end decides the other
        end = min(high, _most(np.maximum(-lowest, highest), settings.spare, high))
        return -end, end
    return max(low, -_most(-lowest, settings.spare, -low)), min(high, _most(highest, settings.spare, high))


def _most(ends: np.ndarray, spare: float, otherwise: float) -> float:
    """Where to cut, given each image's end: a typical one's, unless far too many images reach much further."""
    most = max(spare * float(np.median(ends)), float(np.quantile(ends, OFTEN)) / FURTHER)
    return most if most > 0 else otherwise


def percentile(statistics: TensorStatistics, settings: RangeSettings) -> Range:
    """The range that this percentage of the values lies below, and as many above its other end."""
    distribution = Distribution.of(statistics)
    share = settings.percentile / 100
    low, high = distribution.quantile(1 - share), distribution.quantile(share)
    if share == 1:
        return minmax(statistics, settings)
    return min(low, 0.0), max(high, 0.0)


def mse(statistics: TensorStatistics, settings: RangeSettings) -> Range:
    """The range with the least squared error: one end after the other, coarse then fine, from the full range."""
    low, high = minmax(statistics, settings)
    distribution, levels = Distribution.of(statistics), settings.levels
    if settings.symmetric:
        high = max(-low, high)
        return _best(distribution, levels, np.array([-high, high]))
    ends = np.array([low, high])
    sides = [side for side in (1, 0) if ends[side]]
    for _ in range(len(sides)):  # the ends hardly depend on each other: two rounds settle them
        for side in sides:
            ends = np.array(_best(distribution, levels, ends, side))
    return float(ends[0]), float(ends[1])


def _best(distribution: Distribution, levels: int, ends: np.ndarray, side: int | None = None) -> Range:
    """Shrink one end of a range, or both alike, to where the error is least."""
    best, step = 1.0, 0.05
    for shares in (np.arange(0.1, 1.0001, step), None):
        if shares is None:
            shares = np.clip(best + np.linspace(-step, step, 13), 0.02, 1)
        tried = np.repeat(ends[None], len(shares), axis=0)
        tried[:, slice(None) if side is None else side] *= shares if side is not None else shares[:, None]
        scale = np.maximum((tried[:, 1] - tried[:, 0]) / levels, 1e-30)
        zero_point = np.rint(-tried[:, 0] / scale)
        rounding, clipping = distribution.noise(-zero_point * scale, scale, levels)
        chosen = int(np.argmin(rounding + clipping))
        best, result = float(shares[chosen]), tried[chosen]
    return float(result[0]), float(result[1])


def entropy(statistics: TensorStatistics, settings: RangeSettings) -> Range:
    """The threshold on |x| at which the clipped and coarsened distribution tells least apart from the clipped one.

    The clipped histogram's tail is folded into its last bin; its bins are merged to 128 levels, and each level spread
    evenly over those of its bins that are not empty; the threshold with the least divergence KL(P‖Q) wins.

    Source:
        NVIDIA TensorRT, 8-bit inference (S. Migacz, 2017); the first bin as in pytorch-quantization.
    """
    low, high = minmax(statistics, settings)
    largest = max(-low, high)
    if not largest:
        return low, high
    distribution = Distribution.of(statistics)
    width = largest / _ENTROPY_BINS
    bins = np.minimum((np.abs(distribution.centres) / width).astype(int), _ENTROPY_BINS - 1)
    shares = np.bincount(bins, distribution.shares, _ENTROPY_BINS)
    shares[0] = shares[1]  # most of it is exactly 0 after a ReLU, which every threshold represents alike
    threshold = width * _least_divergence(shares / max(shares.sum(), 1e-300))
    return max(low, -threshold), min(high, threshold)


def _least_divergence(shares: np.ndarray) -> int:
    """The number of bins to keep."""
    kept = np.arange(_ENTROPY_LEVELS, len(shares) + 1, 16)
    before = np.concatenate([[0.0], np.cumsum(shares)])
    occupied = np.concatenate([[0.0], np.cumsum(shares > 0)])
    plogp = np.concatenate([[0.0], np.cumsum(np.where(shares > 0, shares * np.log(np.maximum(shares, 1e-300)), 0))])
    edges = kept[:, None] * np.arange(_ENTROPY_LEVELS + 1) // _ENTROPY_LEVELS
    mass, filled = np.diff(before[edges], axis=1), np.diff(occupied[edges], axis=1)
    inside = before[kept]
    last, tail = shares[kept - 1], 1 - inside
    filled[:, -1] += last == 0  # the tail falls there
    spread = np.where(mass > 0, mass / np.maximum(filled, 1), 1e-12)  # of Q, in each bin of a level
    # Σ P log P - Σ P log Q, with the tail in the last bin of P and Q scaled to a sum of 1
    folded = last + tail
    p_part = plogp[kept] - np.where(last > 0, last * np.log(np.maximum(last, 1e-300)), 0)
    p_part += np.where(folded > 0, folded * np.log(np.maximum(folded, 1e-300)), 0)
    q_part = (mass * np.log(spread)).sum(axis=1) + tail * np.log(spread[:, -1]) - np.log(np.maximum(inside, 1e-12))
    return int(kept[int(np.argmin(p_part - q_part))])


METHODS: Mapping[str, Callable[[TensorStatistics, RangeSettings], Range]] = {
    "typical": typical,
    "mse": mse,
    "minmax": minmax,
    "percentile": percentile,
    "entropy": entropy,
    "moving_average": moving_average,
    "median": median,
}
