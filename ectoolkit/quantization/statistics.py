"""What calibration leaves of a tensor: range, moments, and a histogram whose resolution never falls behind.

Bins are a power of two wide and lie at multiples of their width.  When the range grows past `MAX_BINS`, neighbours are
joined in pairs and the width doubles: counts stay exact, and there are always more than ``MAX_BINS / 2`` bins over the
range seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.errors import QuantizationError

MAX_BINS = 8192


@dataclass
class TensorStatistics:
    """Statistics of one tensor over all images.

    Attributes:
        count: elements seen.
        minimum, maximum: smallest and largest, real units.
        total, total_squares: sums, for mean and variance.
        exponent: a bin is ``2**exponent`` wide, real units.
        first_bin: the first bin begins at ``first_bin * 2**exponent``.
        bins: int64 counts.
    """

    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    total: float = 0.0
    total_squares: float = 0.0
    exponent: int = 0
    first_bin: int = 0
    bins: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, x: Any, name: str) -> None:
        """Take in a float32 torch tensor of any shape.

        Raises:
            QuantizationError: it holds NaN or an infinity; names the layer.
        """
        torch = require("torch", feature="Collecting statistics")
        flat = x.detach().reshape(-1)
        low, high = (float(end) for end in torch.aminmax(flat))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise QuantizationError(
                f"layer {name} gives {low} to {high} for a calibration image; expected finite numbers"
            )
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self.count += flat.numel()
        self.total += float(flat.sum())  # torch sums in pairs: exact enough for a mean, and twice as fast as in float64
        self.total_squares += float(torch.dot(flat, flat)) if flat.numel() else 0.0
        self._fit()
        positions = torch.floor(flat * 2.0**-self.exponent).to(torch.int32) - self.first_bin
        self.bins += torch.bincount(positions, minlength=len(self.bins)).numpy()

    def _fit(self) -> None:
        """Make the bins cover minimum to maximum."""
        span = max(self.maximum - self.minimum, abs(self.maximum), abs(self.minimum), 1e-30)
        if not len(self.bins):
            self.exponent = math.ceil(math.log2(span / (MAX_BINS // 2)))
        while math.ceil(span / 2.0**self.exponent) > MAX_BINS:
            self._join_pairs()
        first, last = (math.floor(end / 2.0**self.exponent) for end in (self.minimum, self.maximum))
        if not len(self.bins):
            self.first_bin = first
        before = max(self.first_bin - first, 0)
        after = max(last - (self.first_bin + len(self.bins) - 1), 0)
        self.bins = np.pad(self.bins, (before, after))
        self.first_bin -= before

    def _join_pairs(self) -> None:
        if self.first_bin % 2:
            self.bins, self.first_bin = np.pad(self.bins, (1, 0)), self.first_bin - 1
        if len(self.bins) % 2:
            self.bins = np.pad(self.bins, (0, 1))
        self.bins = self.bins.reshape(-1, 2).sum(axis=1)
        self.first_bin //= 2
        self.exponent += 1

    @property
    def centres(self) -> np.ndarray:
        """float64 ``(bins,)``: the middle of each bin, real units; cut to the range seen."""
        middles = (np.arange(len(self.bins)) + self.first_bin + 0.5) * 2.0**self.exponent
        return np.clip(middles, self.minimum, self.maximum)


@dataclass(frozen=True)
class Statistics:
    """Statistics of a network.

    Attributes:
        tensors: by name of layer or input.
        images: how many were seen.
        calibration_sha256: hash of them.
    """

    tensors: Mapping[str, TensorStatistics]
    images: int
    calibration_sha256: str
