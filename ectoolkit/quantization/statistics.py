"""What calibration leaves of a tensor: ranges, moments, and a histogram whose resolution never falls behind.

Bins are a power of two wide and lie at multiples of their width.  When the range grows past `MAX_BINS`, neighbours are
joined in pairs and the width doubles: counts stay exact, and there are always more than ``MAX_BINS / 2`` bins over the
range seen.  Ranges and moments see every element; the histogram of a large tensor sees every third, another third
with each image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.calibration import sha256_of

MAX_BINS = 4096
#: elements of one image from which on the histogram takes every `STRIDE`-th: 20,000 draw any distribution well
SAMPLED_FROM = 65_536
#: odd, so that it visits every column of an image
STRIDE = 3


@dataclass(eq=False)
class TensorStatistics:
    """Statistics of one tensor over all images.

    Attributes:
        count: elements seen.
        channel_minimum, channel_maximum: float32 ``(channels,)``, real units; channels along axis 1.
        channel_total, channel_squares: float64 ``(channels,)``: sums of x and of x².
        channel_roots: float64 ``(channels,)``: the sum over images of the square root of the largest magnitude.
        image_minimum, image_maximum: of each image, in order.
        exponent: a bin is ``2**exponent`` wide, real units.
        first_bin: the first bin begins at ``first_bin * 2**exponent``.
        bins: int64 counts.
    """

    count: int = 0
    channel_minimum: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    channel_maximum: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    channel_total: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float64))
    channel_squares: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float64))
    channel_roots: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float64))
    image_minimum: list[float] = field(default_factory=list)
    image_maximum: list[float] = field(default_factory=list)
    exponent: int = 0
    first_bin: int = 0
    bins: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def minimum(self) -> float:
        """Smallest value seen, real units; +inf where none was."""
        return min(self.image_minimum, default=math.inf)

    @property
    def maximum(self) -> float:
        """Largest value seen, real units; -inf where none was."""
        return max(self.image_maximum, default=-math.inf)

    @property
    def mean_square(self) -> float:
        """Mean of x², real units squared."""
        return float(self.channel_squares.sum()) / max(self.count, 1)

    @property
    def channel_count(self) -> int:
        """Elements seen of each channel."""
        return self.count // max(len(self.channel_total), 1)

    @property
    def channel_typical(self) -> np.ndarray:
        """float64 ``(channels,)``: each channel's largest magnitude in a typical image, real units.

        The mean of square roots, squared: a few images with much larger values count little.
        """
        return np.square(self.channel_roots / max(len(self.image_minimum), 1))

    def add(self, x: Any, name: str) -> None:
        """Take in one image's values.

        Args:
            x: float32 torch tensor ``(1, channels, ...)`` or ``(rows, channels)``.
            name: of the layer, for the error.

        Raises:
            QuantizationError: it holds NaN or an infinity; names the layer and the image.
        """
        torch = require("torch", feature="Collecting statistics")
        rows = x.reshape(x.shape[1], -1) if x.ndim > 2 or len(x) == 1 else x.T
        low, high = rows.amin(1).numpy(), rows.amax(1).numpy()
        smallest, largest = float(low.min()), float(high.max())
        if not (math.isfinite(smallest) and math.isfinite(largest)):
            raise QuantizationError(
                f"layer {name} gives {smallest} to {largest} for calibration image {len(self.image_minimum)}; expected "
                "finite numbers. Look at this image and at the weights of the layers up to this one"
            )
        self._add_channels(low, high, rows.sum(1).numpy(), torch.linalg.vector_norm(rows, dim=1).numpy())
        self.count += x.numel()
        flat = x.reshape(-1)
        if len(flat) >= SAMPLED_FROM:
            flat = flat[len(self.image_minimum) % STRIDE :: STRIDE]
        self.image_minimum.append(smallest)
        self.image_maximum.append(largest)
        self._fit(smallest, largest)
        positions = flat * 2.0**-self.exponent
        if self.first_bin < 0:  # a conversion to integers cuts towards 0, which is the floor from 0 on only
            positions.floor_()
        positions = positions.to(torch.int32)
        if self.first_bin:
            positions.sub_(self.first_bin)
        self.bins += torch.bincount(positions, minlength=len(self.bins)).numpy()

    def _add_channels(self, low: np.ndarray, high: np.ndarray, total: np.ndarray, norm: np.ndarray) -> None:
        if not len(self.channel_total):
            self.channel_minimum, self.channel_maximum = low, high
            self.channel_total = np.zeros(len(low))
            self.channel_squares = np.zeros(len(low))
            self.channel_roots = np.zeros(len(low))
        self.channel_minimum = np.minimum(self.channel_minimum, low)
        self.channel_maximum = np.maximum(self.channel_maximum, high)
        self.channel_total = self.channel_total + total
        self.channel_squares = self.channel_squares + norm.astype(np.float64) ** 2
        self.channel_roots = self.channel_roots + np.sqrt(np.maximum(high, -low).astype(np.float64))

    def _fit(self, low: float, high: float) -> None:
        """Make the bins cover all seen so far."""
        if len(self.bins):
            width = 2.0**self.exponent
            begin, end = self.first_bin * width, (self.first_bin + len(self.bins)) * width
            if begin <= low and high < end:
                return
        low, high = min(low, self.minimum), max(high, self.maximum)
        span = max(high - low, abs(high), abs(low), 1e-30)
        if not len(self.bins):
            self.exponent = math.ceil(math.log2(span / (MAX_BINS // 2)))
        while math.ceil(span / 2.0**self.exponent) > MAX_BINS:
            self._join_pairs()
        first, last = (math.floor(end / 2.0**self.exponent) for end in (low, high))
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
        """float64 ``(bins,)``: the middle of each bin, real units; cut to the range seen.

        The bin of 0 stands for 0 itself where nothing is negative: after a ReLU that is most of what it holds.
        """
        middles = (np.arange(len(self.bins)) + self.first_bin + 0.5) * 2.0**self.exponent
        if self.first_bin == 0 and self.minimum == 0:
            middles[:1] = 0
        return np.clip(middles, self.minimum, self.maximum)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of a network, complete.

    Attributes:
        tensors: by name of layer or input.
        image_sha256: hash of each image, in order.
        network_sha256: hash of the network they belong to.
        preprocessing: of the images, in words; the hashes are of what it gave.
    """

    tensors: Mapping[str, TensorStatistics]
    image_sha256: tuple[str, ...]
    network_sha256: str = ""
    preprocessing: str = ""

    @property
    def images(self) -> int:
        """How many were seen."""
        return len(self.image_sha256)

    @cached_property
    def calibration_sha256(self) -> str:
        """Hash of the images, in order."""
        return sha256_of(self.image_sha256)
