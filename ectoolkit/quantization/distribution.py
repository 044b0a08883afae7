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
        position = (values - (self.begin + 0.5 * self.width)) * (1 / self.width)
        np.ceil(position, out=position)
        np.maximum(position, 0, out=position)
        return np.minimum(position, len(self.shares), out=position).astype(np.intp)

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
        values = low[:, None] + scale[:, None] * np.arange(levels + 1.0)
        ends = values[:, -1:] + scale[:, None]
        mass, first, second = self._sums
        below = self._bins_below(np.append(values, ends, axis=1) - 0.5 * scale[:, None])
        mass_below, first_below = mass.take(below), first.take(below)
        second_low, second_high = second.take(below[:, 0]), second.take(below[:, -1])
        # Σ (x - v)² = Σ x² + v · (v · mass - 2 Σ x) over each code's cell; the x² of neighbouring cells join into one
        cells = values * (mass_below[:, 1:] - mass_below[:, :-1])
        cells -= 2 * (first_below[:, 1:] - first_below[:, :-1])
        rounding = second_high - second_low + np.einsum("gc,gc->g", values, cells)
        lowest, highest = values[:, 0], values[:, -1]
        clipping = second_low + lowest * (lowest * mass_below[:, 0] - 2 * first_below[:, 0])
        clipping += second[-1] - second_high
        clipping += highest * (highest * (mass[-1] - mass_below[:, -1]) - 2 * (first[-1] - first_below[:, -1]))
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
