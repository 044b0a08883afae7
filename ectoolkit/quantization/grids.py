"""From a tensor's range to its grid, and from weights to their codes."""

from __future__ import annotations

import numpy as np

from ectoolkit.core.types import QuantParams
from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.methods import METHODS
from ectoolkit.quantization.settings import RangeSettings, WeightSettings
from ectoolkit.quantization.statistics import TensorStatistics

#: a tensor that is always 0 still needs a scale
_SMALLEST_SCALE = 1e-8


def activation_grid(statistics: TensorStatistics, settings: RangeSettings) -> QuantParams:
    """The grid of an activation; real 0 always has a code of its own.

    Raises:
        QuantizationError: nothing was seen, or the range cannot be quantized.
    """
    if not statistics.count:
        raise QuantizationError("no image was seen; collect statistics first")
    low, high = settings.clip or METHODS[settings.method](statistics, settings)
    return grid_of(low, high, settings)


def grid_of(low: float, high: float, settings: RangeSettings) -> QuantParams:
    """The grid that spreads the codes over ``low..high``.

    Raises:
        QuantizationError: the range does not hold 0 or is not finite.
    """
    if not (np.isfinite([low, high]).all() and low <= 0 <= high):
        raise QuantizationError(f"a range of {low:g} to {high:g} cannot be quantized; expected finite and around 0")
    levels = settings.levels
    if settings.symmetric:
        middle = (levels + 1) // 2
        if middle > settings.highest_zero_point:
            raise QuantizationError(
                f"symmetric activations have the zero point {middle}, more than {settings.highest_zero_point}, which "
                "hardware='dna' allows; choose one of the two"
            )
        return _params(max(-low, high) / (levels - middle), middle, settings)
    scale = max((high - low) / levels, _SMALLEST_SCALE)
    zero_point = int(np.clip(np.rint(-low / float(np.float32(scale))), 0, levels))
    if zero_point > settings.highest_zero_point:  # wider steps, so that the negative side fits below
        zero_point = settings.highest_zero_point
        scale = -low / zero_point
    return _params(scale, zero_point, settings)


def _params(scale: float, zero_point: int, settings: RangeSettings) -> QuantParams:
    largest = 255 if settings.open_end else settings.levels
    return QuantParams(np.asarray(max(scale, _SMALLEST_SCALE), np.float32), zero_point, 0, largest)


def weight_scales(weight: np.ndarray, settings: WeightSettings) -> np.ndarray:
    """Symmetric scales, float32 ``(channels,)``, from the largest weight of each channel, or of all.

    Args:
        weight: float32 ``(channels, ...)``.
        settings: per channel or per tensor, and bits.
    """
    rows = weight.reshape(len(weight), -1)
    largest = np.maximum(rows.max(axis=1), -rows.min(axis=1)).astype(np.float64)
    if settings.granularity == "per_tensor":
        largest = np.full_like(largest, largest.max())
    return np.maximum(largest / settings.largest, 1e-12).astype(np.float32)


def raised_for_bias(scales: np.ndarray, bias: np.ndarray | None, input_scale: float) -> np.ndarray:
    """Scales that the bias can be expressed with in 28 bits.

    A channel whose weights are close to 0 gets a larger scale: its bias then decides its output, as in the float
    model.  Returns the same array where nothing had to be raised.
    """
    if bias is None:
        return scales
    least = (np.abs(bias) / (input_scale * 2.0**28)).astype(np.float32)
    return np.maximum(scales, least) if (least > scales).any() else scales


def weight_codes(weight: np.ndarray, scales: np.ndarray, settings: WeightSettings) -> np.ndarray:
    """int8 codes of float32 weights, nearest, within the settings' bits."""
    spread = scales.reshape(-1, *[1] * (weight.ndim - 1))
    codes = weight / spread
    np.rint(codes, out=codes)
    return np.clip(codes, -settings.largest, settings.largest, out=codes).astype(np.int8)
