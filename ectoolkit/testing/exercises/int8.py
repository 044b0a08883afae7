"""The exercises: from a range of real numbers to a whole int8 convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.ops.convolution import convolve
from ectoolkit.testing.exercises.checking import Exercise

_numbers = np.random.default_rng(0)


def _scale_and_zero_point(low: float, high: float, levels: int = 255, widen: bool = True) -> tuple[float, int]:
    if widen:
        low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / levels
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))


def _zero_point_of_the_wrong_sign(low: float, high: float) -> tuple[float, int]:
    scale, _ = _scale_and_zero_point(low, high)
    return scale, int(np.rint(min(low, 0.0) / scale))


def _zero_point_cut_off(low: float, high: float) -> tuple[float, int]:
    scale, _ = _scale_and_zero_point(low, high)
    return scale, int(-min(low, 0.0) / scale)


scale_and_zero_point = Exercise(
    "scale_and_zero_point",
    ((0.0, 255.0), (0.0, 6.0), (-1.0, 2.2), (-1.0, 2.3), (-1.0, 1.55), (-2.5, 2.6), (1.0, 3.0), (-4.0, -1.0)),
    _scale_and_zero_point,
    {
        "Codes 0 to 255 have 255 steps between them; you divided by 256.": lambda low, high: _scale_and_zero_point(
            low, high, 256
        ),
        "The zero point is the code of real 0: it is -low / scale, not low / scale.": _zero_point_of_the_wrong_sign,
        "int() alone cuts the fraction off; round first, with np.rint.": _zero_point_cut_off,
        "Real 0 needs a code (padding and ReLU use it): widen the range to 0 where it leaves 0 out.": (
            lambda low, high: _scale_and_zero_point(low, high, widen=False)
        ),
    },
    whole=False,
)


def _quantize(x: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return arithmetic.quantize(x, np.float32(scale), zero_point)


def _rounded_by(rounding: Any) -> Any:
    def wrong(x: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
        return np.clip(rounding(x / np.float32(scale)).astype(np.int64) + zero_point, 0, 255)

    return wrong


def _away(x: np.ndarray) -> np.ndarray:
    return np.trunc(x + np.copysign(np.float32(0.5), x))


quantize = Exercise(
    "quantize",
    (
        (np.array([0, 1, 2, 100], np.float32), 1.0, 0),
        (np.array([-1, 0, 1, 3.2], np.float32), 0.5, 10),
        (np.array([0.25, 0.75, 1.25, -0.25, -0.75, -1.25], np.float32), 0.5, 10),
        (np.array([-100, 100, 1e6], np.float32), 0.5, 10),
        (_numbers.normal(0, 1, (8, 8)).astype(np.float32), 0.03125, 128),
    ),
    _quantize,
    {
        "That is numpy's rounding of ties, to the even neighbour; here they go away from zero: 0.5 → 1, -0.5 → -1.": (
            _rounded_by(np.rint)
        ),
        "That is floor(x + 0.5), which rounds -0.5 up to 0; here ties go away from zero: -0.5 → -1.": (
            _rounded_by(lambda x: np.floor(x + np.float32(0.5)))
        ),
        ".astype(int) alone cuts the fraction off; round first.": _rounded_by(np.trunc),
        "Codes end at 0 and 255: clip before you convert to uint8, else 300 becomes 44.": lambda x, scale, zero_point: (
            _away(x / np.float32(scale)).astype(np.int64) + zero_point
        ).astype(np.uint8),
        "Clip after the zero point is added, not before.": lambda x, scale, zero_point: (
            np.clip(_away(x / np.float32(scale)), 0, 255).astype(np.int64) + zero_point
        ),
        "The zero point is missing: real 0 must become the code zero_point.": lambda x, scale, zero_point: np.clip(
            _away(x / np.float32(scale)), 0, 255
        ).astype(np.int64),
    },
    dtype="uint8",
)


def _accumulate(q: np.ndarray, zero_point: int, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (weight.astype(np.int64) @ (q.astype(np.int64) - zero_point) + bias).astype(np.int32)


def _subtracted_in_uint8(q: np.ndarray, zero_point: int, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return _accumulate(q - np.uint8(zero_point), 0, weight, bias)


def _summed_in_int16(q: np.ndarray, zero_point: int, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (weight @ (q.astype(np.int16) - np.int16(zero_point))).astype(np.int64) + bias


def _summed_in_float32(q: np.ndarray, zero_point: int, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (weight.astype(np.float32) @ (q.astype(np.float32) - np.float32(zero_point)) + bias).astype(np.int32)


#: an odd sum of 33 millions, which float32 cannot hold
_LARGE = np.full((1, 1024), 127, np.int8)
_LARGE[0, 0] = 126

accumulate = Exercise(
    "accumulate",
    (
        (np.array([3, 4], np.uint8), 0, np.array([[1, 2], [-1, 0]], np.int8), np.array([0, 0], np.int32)),
        (np.array([3, 4], np.uint8), 3, np.array([[1, 2], [-1, 0]], np.int8), np.array([10, -10], np.int32)),
        (np.array([3, 4], np.uint8), 5, np.array([[1, 2], [-1, 0]], np.int8), np.array([0, 0], np.int32)),
        (
            np.array([255, 255, 255, 255], np.uint8),
            0,
            np.array([[127, 127, 127, 127], [-128, -128, -128, -128]], np.int8),
            np.array([1, -1], np.int32),
        ),
        (
            _numbers.integers(0, 256, 64).astype(np.uint8),
            119,
            _numbers.integers(-128, 128, (16, 64)).astype(np.int8),
            _numbers.integers(-9999, 9999, 16).astype(np.int32),
        ),
        (np.full(1024, 255, np.uint8), 0, _LARGE, np.array([0], np.int32)),
    ),
    _accumulate,
    {
        "q - zero_point was computed in uint8, where 3 - 5 is 254: convert q to int32 first.": _subtracted_in_uint8,
        "The sum was computed in 16 bits and ran over: convert both to int32 before you multiply.": _summed_in_int16,
        "The zero point is missing: real numbers are scale · (q - zero_point).": lambda q, zero_point, weight, bias: (
            _accumulate(q, 0, weight, bias)
        ),
        "The bias is missing.": lambda q, zero_point, weight, bias: _accumulate(q, zero_point, weight, 0 * bias),
        "float32 holds each whole number up to 2**24 only: convert both to int32 before you multiply.": (
            _summed_in_float32
        ),
    },
    dtype="int32",
)


def _requantize(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    return arithmetic.requantize(acc, np.asarray(multiplier, np.int64), np.asarray(shift, np.int64))


def _requantize_in_int32(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    return (acc.astype(np.int32) * np.int32(multiplier) + np.int32(1 << (shift - 1))) >> np.int32(shift)


def _requantize_by_shift_alone(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    return (acc.astype(np.int64) * multiplier) >> shift


def _requantize_in_float(rounding: Any) -> Any:
    def wrong(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
        return rounding(acc.astype(np.float64) * multiplier / 2.0**shift).astype(np.int64)

    return wrong


requantize = Exercise(
    "requantize",
    (
        (np.array([0, 16, -16, 800], np.int32), 1, 4),
        (np.array([7, 8, 9, 23, 24, 25], np.int32), 1, 4),
        (np.array([-7, -8, -9, -23, -24, -25], np.int32), 1, 4),
        (np.array([-8, 8, 24, 40], np.int32), 1, 4),
        (np.array([1000, -1000, 2000], np.int32), 50_331_648, 30),
        (_numbers.integers(-(2**24), 2**24, (4, 50)).astype(np.int32), 43_690_667, 41),
    ),
    _requantize,
    {
        "A shift alone rounds down, always; add half a step, 1 << (shift - 1), before it.": _requantize_by_shift_alone,
        "That sends negative ties away from zero; here all ties go up: -0.5 → 0, -1.5 → -1.": _requantize_in_float(
            _away
        ),
        "That sends ties to the even neighbour; here all ties go up: 0.5 → 1, 1.5 → 2, -1.5 → -1.": (
            _requantize_in_float(np.rint)
        ),
        "The product does not fit 32 bits: convert acc to int64 first.": _requantize_in_int32,
    },
    dtype="int64",
)


def _weight_scales(weight: np.ndarray, largest: int = 127) -> np.ndarray:
    return np.abs(weight).reshape(len(weight), -1).max(axis=1) / largest


weight_scales = Exercise(
    "weight_scales",
    (
        (np.array([[1.27, 0.5], [-12.7, 1.0]], np.float32),),
        (_numbers.normal(0, np.geomspace(0.01, 10, 8)[:, None], (8, 27)).astype(np.float32),),
        (_numbers.normal(0, np.geomspace(0.01, 10, 4)[:, None, None, None], (4, 3, 3, 3)).astype(np.float32),),
    ),
    _weight_scales,
    {
        "That is one scale for the whole tensor; take the largest of each channel, axis 0.": lambda weight: np.full(
            len(weight), np.abs(weight).max() / 127
        ),
        "Negative weights count too: take the largest of np.abs(weight).": lambda weight: (
            weight.reshape(len(weight), -1).max(axis=1) / 127
        ),
        "Codes go to 127, so the largest weight is 127 steps; you divided by 128.": lambda weight: _weight_scales(
            weight, 128
        ),
        "Symmetric codes go from -127 to 127, so the largest weight is 127 steps; you divided by 255.": (
            lambda weight: _weight_scales(weight, 255)
        ),
    },
    whole=False,
)


def _convolution(
    q: np.ndarray,
    zero_point: int,
    weight: np.ndarray,
    bias: np.ndarray,
    multiplier: np.ndarray,
    shift: np.ndarray,
    output_zero_point: int,
    *,
    padding_code: int | None = None,
    relu: bool = True,
    zero_point_first: bool = True,
) -> np.ndarray:
    """A 3×3 convolution with padding 1 and ReLU; the keywords are what readers get wrong."""
    border = np.pad(q, ((0, 0), (1, 1), (1, 1)), constant_values=zero_point if padding_code is None else padding_code)
    centred = border[None].astype(np.float64) - zero_point
    sums = convolve(centred, weight.astype(np.float64), (1, 1), (0, 0), (1, 1), 1)[0].astype(np.int64)
    acc = sums + bias[:, None, None]
    codes = arithmetic.requantize(acc, multiplier[:, None, None], shift[:, None, None])
    if not zero_point_first:
        return np.clip(codes, 0, 255) + output_zero_point
    return np.clip(codes + output_zero_point, output_zero_point if relu else 0, 255).astype(np.uint8)


def _image_case(channels: int, size: int, zero_point: int, output_zero_point: int) -> tuple[Any, ...]:
    multiplier, shift = arithmetic.requantize_multiplier(_numbers.uniform(0.003, 0.01, 4))
    return (
        _numbers.integers(0, 256, (channels, size, size)).astype(np.uint8),
        zero_point,
        _numbers.integers(-127, 128, (4, channels, 3, 3)).astype(np.int8),
        _numbers.integers(-5000, 5000, 4).astype(np.int32),
        multiplier,
        shift,
        output_zero_point,
    )


convolution = Exercise(
    "convolution",
    (_image_case(1, 4, 0, 0), _image_case(3, 5, 0, 20), _image_case(3, 6, 117, 20)),
    _convolution,
    {
        "The border was filled with code 0, which is not real 0 here: pad with the input's zero point.": (
            lambda *case: _convolution(*case, padding_code=0)
        ),
        "ReLU is missing: real 0 has the code output_zero_point, so no result may lie below it.": (
            lambda *case: _convolution(*case, relu=False)
        ),
        "Clip after the output's zero point is added, not before.": lambda *case: _convolution(
            *case, zero_point_first=False
        ),
    },
    dtype="uint8",
)
