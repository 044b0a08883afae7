"""The exact arithmetic of EdgeCortix's InterpreterHw, as functions on numpy arrays.

The rules were found by black-box tests of MERA 1.6.0, platform DNAF200L0003, and hold in every element of the golden
cases in ``tests/golden``.  Everything else in the project (compiled kernels, C++ program, simulators) must agree
with this file.
"""

from __future__ import annotations

import numpy as np

from ectoolkit.core.types import Rounding
from ectoolkit.errors import QuantizationError

#: bits of the fixed-point multiplier's mantissa
MULTIPLIER_BITS = 26
INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)
#: the accelerator's add works on 9 signed bits
ADD_MIN, ADD_MAX = -256, 255


def round_to_integer(x: np.ndarray, rounding: Rounding) -> np.ndarray:
    """Round to integers, keeping the dtype.

    Args:
        x: float32 or float64, any shape, finite.
        rounding: what happens to fractions; the table is at `Rounding`.

    Returns:
        Same dtype and shape, integral.  Exact: no intermediate rounding (``x + 0.5`` would round up 0.49999997).
    """
    if rounding is Rounding.HALF_EVEN:
        return np.rint(x)
    if rounding is Rounding.FLOOR:
        return np.floor(x)
    whole = np.trunc(x)
    if rounding is Rounding.TRUNCATE:
        return whole
    if rounding is Rounding.HALF_AWAY_FROM_ZERO:
        return whole + np.where(np.abs(x - whole) >= 0.5, np.copysign(x.dtype.type(1), x), x.dtype.type(0))
    below = np.floor(x)
    return below + (x - below >= 0.5)


def quantize(x: np.ndarray, scale: np.float32, zero_point: int, quant_min: int = 0, quant_max: int = 255) -> np.ndarray:
    """Real numbers to activation codes: ``clip(away(x * (1 / scale)) + zero_point)``.

    The product is with the float32 reciprocal of the scale: a true division gives other codes at ties.

    Args:
        x: float32, any shape; real units.  Infinities saturate.
        scale: float32, real units per code.
        zero_point: the code of real 0.
        quant_min: smallest code.
        quant_max: largest code.

    Returns:
        uint8, same shape.

    Raises:
        QuantizationError: `x` holds NaN, or is not float32, or ``1 / scale`` is not a float32.
    """
    if x.dtype != np.float32:
        raise QuantizationError(f"quantize takes float32, got {x.dtype}; convert the array with .astype(numpy.float32)")
    reciprocal = reciprocal_of(scale)
    with np.errstate(over="ignore"):
        scaled = x * reciprocal
    if np.isnan(scaled).any():
        index = tuple(int(i) for i in np.argwhere(np.isnan(scaled))[0])
        raise QuantizationError(f"the input holds NaN, first at index {index}; an integer code cannot stand for it")
    # |zero_point| <= 255, so anything beyond +-512 saturates whatever its value: safe to cut before the cast
    codes = round_to_integer(np.clip(scaled, -512, 512), Rounding.HALF_AWAY_FROM_ZERO).astype(np.int32) + zero_point
    return np.clip(codes, quant_min, quant_max).astype(np.uint8)


def reciprocal_of(scale: np.float32) -> np.float32:
    """float32 ``1 / scale`` with IEEE rounding.

    Raises:
        QuantizationError: it overflows float32.
    """
    with np.errstate(over="ignore"):
        reciprocal = np.float32(1) / np.float32(scale)
    if not np.isfinite(reciprocal):
        raise QuantizationError(f"scale {scale} is too small: its float32 reciprocal overflows; widen the range")
    return reciprocal


def dequantize(q: np.ndarray, scale: np.float32, zero_point: int) -> np.ndarray:
    """Codes to real numbers: ``float32(q - zero_point) * scale``, float32, same shape."""
    return (q.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)


def bias_scale(input_scale: np.float32, weight_scale: np.ndarray) -> np.ndarray:
    """Real units per step of an accumulator: float32 ``input_scale * weight_scale``, shape ``(channels,)``."""
    return np.float32(input_scale) * np.asarray(weight_scale, np.float32)


def quantize_bias(bias: np.ndarray, scale: np.ndarray, layer: str = "this layer") -> np.ndarray:
    """A convolution's or linear layer's bias on its accumulator's grid: ``away(bias / scale)``.

    Args:
        bias: float32 ``(channels,)``; real units.
        scale: float32 ``(channels,)``: `bias_scale`.
        layer: named in the error.

    Returns:
        int32 ``(channels,)``; unit: `scale`.

    Raises:
        QuantizationError: a quotient is not an int32.
    """
    bias = np.asarray(bias, np.float32)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        quotient = round_to_integer(bias / np.asarray(scale, np.float32), Rounding.HALF_AWAY_FROM_ZERO)
    # in float32 the largest int32 reads as 2**31, which is none
    quotient = quotient.astype(np.float64)
    bad = ~((quotient >= INT32_MIN) & (quotient <= INT32_MAX))
    if bad.any():
        channel = int(np.flatnonzero(bad)[0])
        raise QuantizationError(
            f"the bias of {layer} does not fit int32: channel {channel} has bias {bias[channel]:g} at scale "
            f"{np.broadcast_to(scale, bias.shape)[channel]:g}, which is {quotient[channel]:g} steps, expected within "
            "±2147483647. The channel's weights are close to zero: give them a larger scale (per-tensor weights), "
            "or prune the channel"
        )
    return quotient.astype(np.int64).astype(np.int32)


def requantize_multiplier(ratio: np.ndarray | float, layer: str = "this layer") -> tuple[np.ndarray, np.ndarray]:
    """A real ratio of scales as ``multiplier * 2**-shift`` with a 26-bit multiplier.

    Args:
        ratio: float64, any shape: scale of the input over scale of the output.
        layer: named in the error.

    Returns:
        ``(multiplier, shift)``, int64, shape of `ratio`; 1 <= shift <= 62.

    Raises:
        QuantizationError: a ratio is not finite, not positive or 2**25 and above.
    """
    ratio = np.asarray(ratio, np.float64)
    ok = np.isfinite(ratio) & (ratio > 0) & (ratio < 2.0 ** (MULTIPLIER_BITS - 1))
    if not ok.all():
        raise QuantizationError(
            f"{layer} needs a requantize ratio of {ratio[~ok].ravel()[0]:g}, expected above 0 and below 2**25. "
            "The scales of its input and output are too far apart: calibrate with data that reaches this layer"
        )
    mantissa, exponent = np.frexp(ratio)
    multiplier = np.rint(mantissa * 2.0**MULTIPLIER_BITS).astype(np.int64)
    # Past 62 the rounding constant exceeds any product of an int32 and 27 bits, so the result is 0 at 62 as well.
    return multiplier, np.minimum(MULTIPLIER_BITS - exponent.astype(np.int64), 62)


def requantize(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """``(acc * multiplier + 2**(shift - 1)) >> shift``: ties go toward plus infinity, one rounding.

    Args:
        acc: integers within int32, any shape.
        multiplier: int64, broadcasts with `acc`: from `requantize_multiplier`.
        shift: int64, broadcasts with `acc`.

    Returns:
        int64, broadcast shape.  Exact: the product stays below 2**58 and the sum below 2**62.
    """
    return (acc.astype(np.int64) * multiplier + (np.int64(1) << (shift - 1))) >> shift


def saturate9(x: np.ndarray) -> np.ndarray:
    """Clip to the adder's nine signed bits, [-256, 255]."""
    return np.clip(x, ADD_MIN, ADD_MAX)


def accumulator_bound(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The largest magnitude each channel's accumulator can reach, whatever the input codes are.

    Args:
        weight: int8 ``(channels, ...)``.
        bias: int32 ``(channels,)``.

    Returns:
        int64 ``(channels,)``: ``255 * sum(|w|) + |bias|``; also bounds every partial sum, with or without the zero
        point taken off.
    """
    magnitude = np.abs(weight.astype(np.int64)).reshape(weight.shape[0], -1).sum(axis=1)
    return 255 * magnitude + np.abs(bias.astype(np.int64))
