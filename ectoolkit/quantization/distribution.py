"""A tensor's histogram in the form that questions about noise are answered from: sums up to each bin.

Each bin is taken as that many values at its centre.  Then the squared error of any grid is a sum over its codes, not
over the bins, and hundreds of grids can be tried in a millisecond.
"""

from __future__ import annotations

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
    """

    centres: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, statistics: TensorStatistics) -> Distribution:
        """The distribution of a tensor."""
        kept = statistics.bins > 0
        counts = statistics.bins[kept].astype(np.float64)
        return cls(statistics.centres[kept], counts / counts.sum())

    @cached_property
    def _sums(self) -> np.ndarray:
        """float64 ``(3, bins + 1)``: shares, shares·x and shares·x² of all bins before each."""
        powers = self.shares * np.stack([np.ones_like(self.centres), self.centres, self.centres**2])
        return np.concatenate([np.zeros((3, 1)), np.cumsum(powers, axis=1)], axis=1)

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
        values = low[:, None] + scale[:, None] * np.arange(levels + 1)
        edges = np.concatenate([values - scale[:, None] / 2, values[:, -1:] + scale[:, None] / 2], axis=1)
        sums = self._sums[:, np.searchsorted(self.centres, edges)]  # (3, grids, levels + 2)
        inside = np.diff(sums, axis=2)
        rounding = (inside[2] - 2 * values * inside[1] + values**2 * inside[0]).sum(axis=1)
        below, above = sums[:, :, 0], self._sums[:, -1:] - sums[:, :, -1]
        clipping = sum(
            part[2] - 2 * end * part[1] + end**2 * part[0]
            for part, end in ((below, values[:, 0]), (above, values[:, -1]))
        )
        # differences of sums leave crumbs below 0
        return np.maximum(rounding, 0), np.maximum(clipping, 0)

    def saturated(self, low: float, high: float) -> tuple[float, float]:
        """Shares of values below `low` and above `high`."""
        first, last = np.searchsorted(self.centres, low, "left"), np.searchsorted(self.centres, high, "right")
        return float(self._sums[0, first]), float(1 - self._sums[0, last])

    def quantile(self, share: float) -> float:
        """The value that this share of all values does not exceed."""
        index = np.searchsorted(self._sums[0, 1:], share - 1e-12)
        return float(self.centres[min(int(index), len(self.centres) - 1)])
