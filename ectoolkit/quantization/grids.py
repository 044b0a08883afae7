"""From a tensor's statistics to its grid, by the method the user chose."""

from __future__ import annotations

import numpy as np

from ectoolkit.core.types import QuantParams
from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.statistics import TensorStatistics

#: shares of the full range that "mse" tries for its ends
_SHARES = np.linspace(0.1, 1.0, 73)


def activation_grid(statistics: TensorStatistics, config: QuantConfig, *, clip: bool = True) -> QuantParams:
    """The uint8 grid of an activation; real 0 always has a code of its own.

    Args:
        statistics: of the tensor.
        config: method and bits.
        clip: whether the method may cut the range; False for a network's outputs.
    """
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    levels = 2**config.activation_bits - 1
    if clip and config.method == "mse":
        low, high = _least_squares(statistics, low, high, levels)
    return grid_of(low, high, levels)


def grid_of(low: float, high: float, levels: int) -> QuantParams:
    """The grid that spreads `levels` steps over ``low..high``.

    Raises:
        QuantizationError: the range does not hold 0 or is not finite.
    """
    if not (np.isfinite([low, high]).all() and low <= 0 <= high):
        raise QuantizationError(f"a range of {low:g} to {high:g} cannot be quantized; expected finite and around 0")
    # a tensor that is always 0 still needs a scale
    scale = np.float32(max((high - low) / levels, 1e-8))
    zero_point = int(np.clip(np.rint(-low / float(scale)), 0, levels))
    return QuantParams.uint8(float(scale), zero_point)


def _least_squares(statistics: TensorStatistics, low: float, high: float, levels: int) -> tuple[float, float]:
    """The range with the least squared error over the histogram: one end after the other, from the full range."""
    kept = statistics.bins > 0
    centres, counts = statistics.centres[kept], statistics.bins[kept].astype(np.float64)

    def error(low: float, high: float) -> float:
        scale = max((high - low) / levels, 1e-8)
        zero = np.rint(-low / scale)
        codes = np.clip(np.rint(centres / scale) + zero, 0, levels)
        return float(counts @ ((codes - zero) * scale - centres) ** 2)

    for _ in range(2):  # the ends hardly depend on each other: two rounds settle them
        high = min((float(high * share) for share in _SHARES), key=lambda end: error(low, end)) if high else high
        low = min((float(low * share) for share in _SHARES), key=lambda end: error(end, high)) if low else low
    return low, high


def weight_scales(weight: np.ndarray, bias: np.ndarray | None, input_scale: float, config: QuantConfig) -> np.ndarray:
    """Symmetric int8 scales, float32 ``(channels,)``.

    A channel whose weights are close to 0 gets a scale that its bias can be expressed with: its bias then decides its
    output, as in the float model.

    Args:
        weight: float32 ``(channels, ...)``.
        bias: float32 ``(channels,)`` or None.
        input_scale: of the layer's input.
        config: per channel or per tensor.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1).astype(np.float64)
    if config.weights == "per_tensor":
        largest = np.full_like(largest, largest.max())
    floor = np.full(len(weight), 1e-12)
    if bias is not None:
        floor = np.maximum(floor, np.abs(bias) / (input_scale * 2.0**28))
    return np.maximum(largest / 127, floor).astype(np.float32)


def weight_codes(weight: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """int8 codes of float32 weights, nearest, -127..127."""
    spread = scales.reshape(-1, *[1] * (weight.ndim - 1)).astype(np.float64)
    return np.clip(np.rint(weight / spread), -127, 127).astype(np.int8)
