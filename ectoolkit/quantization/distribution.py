"""A tensor's histogram in the form that questions about noise are answered from: sums up to each bin.

Each bin is taken as that many values at its centre.  Then the squared error of any grid is a sum over its codes, not
over the bins, and hundreds of grids can be tried in a millisecond.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ectoolkit.quantization.statistics import TensorStatistics


@dataclass(frozen=True, eq=False)
class Distribution:
    """Shares of values by size.

    Attributes:
        centres: float64 ``(bins,)``, real units, rising.
        shares: float64 ``(bins,)``, summing to 1.
        begin: where the first bin begins, real units.
        width: of every bin, real units.
    """

    centres: np.ndarray
    shares: np.ndarray
    begin: float
    width: float

    @classmethod
    def of(cls, statistics: TensorStatistics) -> Distribution:
        """The distribution of a tensor; made once for each state of its statistics."""
        count, distribution = _MADE.get(statistics, (0, None))
        if distribution is None or count != statistics.count:
            width = 2.0**statistics.exponent
            shares = statistics.bins / statistics.bins.sum()
            distribution = cls(statistics.centres, shares, statistics.first_bin * width, width)
            _MADE[statistics] = statistics.count, distribution
        return distribution

    @cached_property
    def _sums(self) -> np.ndarray:
        """float64 ``(3, bins + 1)``: shares, shares·x and shares·x² of all bins before each."""
        powers = self.shares * np.stack([np.ones_like(self.centres), self.centres, self.centres**2])
        return np.concatenate([np.zeros((3, 1)), np.cumsum(powers, axis=1)], axis=1)

    def _bins_below(self, values: np.ndarray) -> np.ndarray:
        """Number of bins whose middle lies below each value."""
        position = np.ceil((values - self.begin) * (1 / self.width) - 0.5)
        return np.clip(position, 0, len(self.shares), out=position).astype(np.int32)

    def noise(self, low: np.ndarray, scale: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean squared error of grids ``low, low + scale, ..., low + levels · scale``.

        Args:
            low: float64 ``(grids,)``, the real value of the smallest code.
            scale: float64 ``(grids,)``, real units a code.
            levels: the largest code.

        Returns:
            rounding noise (values within half a step of the grid) and clipping noise (beyond), float64 ``(grids,)``,
            real units squared.
        """
        edges = low[:, None] + scale[:, None] * (np.arange(levels + 2) - 0.5)
        values = low[:, None] + scale[:, None] * np.arange(levels + 1)
        mass, first, second = self._sums
        below = self._bins_below(edges)
        ends = below[:, [0, -1]]
        # Σ (x - v)² over a cell, and the sums of x² of neighbouring cells join into one
        rounding = second[ends[:, 1]] - second[ends[:, 0]]
        rounding += (values * (values * np.diff(mass[below]) - 2 * np.diff(first[below]))).sum(axis=1)
        outside = ((values[:, 0], ends[:, 0], 0), (values[:, -1], len(self.shares), ends[:, 1]))
        clipping = sum(
            second[to] - second[start] + end * (end * (mass[to] - mass[start]) - 2 * (first[to] - first[start]))
            for end, to, start in outside
        )
        # differences of sums leave crumbs below 0
        return np.maximum(rounding, 0), np.maximum(clipping, 0)

    def saturated(self, low: float, high: float) -> tuple[float, float]:
        """Shares of values below `low` and above `high`."""
        mass = self._sums[0]
        first, last = self._bins_below(np.array([low, high]))
        return float(mass[first]), float(1 - mass[last])

    def quantile(self, share: float) -> float:
        """The value that this share of all values does not exceed."""
        index = np.searchsorted(self._sums[0, 1:], share - 1e-12)
        return float(self.centres[min(int(index), len(self.centres) - 1)])


#: with the count they were made at: statistics grow
_MADE: weakref.WeakKeyDictionary[TensorStatistics, tuple[int, Distribution]] = weakref.WeakKeyDictionary()
