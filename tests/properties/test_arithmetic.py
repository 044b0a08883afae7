"""The arithmetic against Python integers and Fractions, at ties and extremes.

The oracles are written from the rules in words, not from the code: every real number is an exact Fraction, and only
where the rule says float32 is a result rounded to one.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ectoolkit.core import arithmetic
from ectoolkit.core.types import Rounding
from ectoolkit.errors import QuantizationError

INT32 = st.integers(-(2**31), 2**31 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
#: scales that calibration gives, and any float32 whose reciprocal is one
SCALES = st.floats(2.0**-20, 2.0**20, width=32) | st.floats(2.0**-126, 2.0**126, width=32)
ZERO_POINTS = st.integers(0, 255)


def f32(x: Fraction) -> Fraction:
    """The nearest float32, ties to even; the caller keeps clear of overflow."""
    if x == 0:
        return Fraction(0)
    exponent = math.floor(math.log2(abs(x)))
    while abs(x) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(x) < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** (max(exponent, -126) - 23)
    return round(x / step) * step  # Python rounds halves of a Fraction to even


def half_away(x: Fraction) -> int:
    return int(math.copysign(1, x)) * math.floor(abs(x) + Fraction(1, 2))


def half_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def saturated(x: int, low: int, high: int) -> int:
    return low if x < low else min(x, high)


def real(x: object) -> Fraction:
    return Fraction(float(x))  # type: ignore[arg-type]


# --- rounding ------------------------------------------------------------------------------------------------------

ROUNDED = {
    Rounding.HALF_EVEN: round,
    Rounding.HALF_AWAY_FROM_ZERO: half_away,
    Rounding.HALF_TOWARD_POS_INF: half_up,
    Rounding.FLOOR: math.floor,
    Rounding.TRUNCATE: math.trunc,
}


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_round_to_integer(data: st.DataObject, dtype: type, rounding: Rounding) -> None:
    width = 32 if dtype is np.float32 else 64
    any_float = st.floats(-(2.0**60), 2.0**60, width=width)
    ties = st.integers(-(2**22), 2**22).map(lambda n: n / 2)
    near_ties = ties.map(lambda t: float(np.nextafter(dtype(t), dtype(np.inf))))
    values = data.draw(st.lists(any_float | ties | near_ties | near_ties.map(lambda t: -t), min_size=1, max_size=8))
    x = np.array(values, dtype)
    found = arithmetic.round_to_integer(x, rounding)
    assert found.dtype == dtype
    assert [int(y) for y in found] == [ROUNDED[rounding](real(v)) for v in x]


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.HALF_EVEN, [-2, 0, 0, 2]),
        (Rounding.HALF_AWAY_FROM_ZERO, [-2, -1, 1, 3]),
        (Rounding.HALF_TOWARD_POS_INF, [-1, 0, 1, 3]),
        (Rounding.FLOOR, [-2, -1, 0, 2]),
        (Rounding.TRUNCATE, [-1, 0, 0, 2]),
    ],
)
def test_the_table_of_roundings(rounding: Rounding, expected: list[int]) -> None:
    x = np.array([-1.5, -0.5, 0.5, 2.5])
    assert arithmetic.round_to_integer(x, rounding).tolist() == expected


def test_just_below_a_half_is_zero() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    for rounding in (Rounding.HALF_AWAY_FROM_ZERO, Rounding.HALF_TOWARD_POS_INF):
        assert arithmetic.round_to_integer(np.array([below]), rounding)[0] == 0


# --- quantize, dequantize ------------------------------------------------------------------------------------------


def quantize_oracle(x: np.float32, scale: np.float32, zero_point: int, low: int, high: int) -> int:
    if math.isinf(x):
        return high if x > 0 else low
    product = real(x) * f32(1 / real(scale))
    if abs(product) > 2**100:  # far beyond any code, maybe beyond float32
        return high if product > 0 else low
    return saturated(half_away(f32(product)) + zero_point, low, high)


@given(x=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=8), scale=SCALES, zero_point=ZERO_POINTS)
@example(x=[math.inf, -math.inf, 3.4028234663852886e38], scale=2.0**-126, zero_point=0)
def test_quantize(x: list[float], scale: float, zero_point: int) -> None:
    array = np.array(x, np.float32)
    found = arithmetic.quantize(array, np.float32(scale), zero_point)
    assert found.dtype == np.uint8
    assert found.tolist() == [quantize_oracle(v, np.float32(scale), zero_point, 0, 255) for v in array]


@given(
    half_steps=st.lists(st.integers(-1100, 1100), min_size=1, max_size=8),
    nudge=st.sampled_from([-math.inf, 0.0, math.inf]),
    scale=st.floats(2.0**-20, 2.0**20, width=32),
    zero_point=ZERO_POINTS,
    ends=st.sampled_from([(0, 255), (0, 127), (3, 200)]),
)
def test_quantize_at_ties(
    half_steps: list[int], nudge: float, scale: float, zero_point: int, ends: tuple[int, int]
) -> None:
    x = np.array(half_steps, np.float32) / 2 * np.float32(scale)
    if nudge:
        x = np.nextafter(x, np.float32(nudge))
    found = arithmetic.quantize(x, np.float32(scale), zero_point, *ends)
    assert found.tolist() == [quantize_oracle(v, np.float32(scale), zero_point, *ends) for v in x]


def test_quantize_multiplies_by_the_reciprocal() -> None:
    """Where a true division would give another code: the reason for the rule."""
    numbers = np.random.default_rng(0)
    scales = numbers.uniform(0.001, 0.1, 2000).astype(np.float32)
    steps = numbers.integers(0, 200, 2000).astype(np.float32) + np.float32(0.5)
    x = steps * scales
    divided = np.clip(np.floor(x / scales + np.float32(0.5)), 0, 255)
    found = [int(arithmetic.quantize(x[i : i + 1], scales[i], 0)[0]) for i in range(len(x))]
    assert found == [quantize_oracle(v, s, 0, 0, 255) for v, s in zip(x, scales, strict=True)]
    assert (np.array(found) != divided).any()


@given(
    codes=st.lists(st.integers(0, 255), min_size=1, max_size=8),
    scale=st.floats(2.0**-100, 2.0**100, width=32),
    zero_point=ZERO_POINTS,
)
def test_dequantize(codes: list[int], scale: float, zero_point: int) -> None:
    found = arithmetic.dequantize(np.array(codes, np.uint8), np.float32(scale), zero_point)
    assert found.dtype == np.float32
    assert [real(v) for v in found] == [f32((q - zero_point) * real(np.float32(scale))) for q in codes]


@given(codes=st.integers(0, 255), scale=st.floats(2.0**-60, 2.0**60, width=32), zero_point=ZERO_POINTS)
def test_quantize_undoes_dequantize(codes: int, scale: float, zero_point: int) -> None:
    x = arithmetic.dequantize(np.array([codes], np.uint8), np.float32(scale), zero_point)
    assert arithmetic.quantize(x, np.float32(scale), zero_point).tolist() == [codes]


# --- bias ----------------------------------------------------------------------------------------------------------


@given(bias=FLOAT32, scale=st.floats(2.0**-126, 2.0**60, width=32))
@example(bias=2.0**31, scale=1.0)
@example(bias=-(2.0**31), scale=1.0)
@example(bias=2147483520.0, scale=1.0)
@example(bias=2.5, scale=1.0)
@example(bias=-2.5, scale=1.0)
@example(bias=3e38, scale=1e-30)
def test_quantize_bias(bias: float, scale: float) -> None:
    given_bias, given_scale = np.array([bias], np.float32), np.array([scale], np.float32)
    exact = real(given_bias[0]) / real(given_scale[0])
    expected = half_away(f32(exact)) if abs(exact) < 2**100 else 2**100
    if -(2**31) <= expected <= 2**31 - 1:
        found = arithmetic.quantize_bias(given_bias, given_scale)
        assert found.dtype == np.int32
        assert found.tolist() == [expected]
    else:
        with pytest.raises(QuantizationError, match="the bias of this layer does not fit int32: channel 0"):
            arithmetic.quantize_bias(given_bias, given_scale)


@pytest.mark.parametrize("bias", [math.nan, math.inf, -math.inf])
def test_quantize_bias_refuses_what_is_no_number(bias: float) -> None:
    with pytest.raises(QuantizationError, match=r"channel 1 has bias (nan|-?inf)"):
        arithmetic.quantize_bias(np.array([0, bias], np.float32), np.ones(2, np.float32))


@given(halves=st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=8), power=st.integers(-20, 4))
def test_quantize_bias_at_ties(halves: list[int], power: int) -> None:
    scale = np.full(len(halves), 2.0**power, np.float32)
    bias = np.array(halves, np.float32) / 2 * scale
    assert arithmetic.quantize_bias(bias, scale).tolist() == [half_away(Fraction(n, 2)) for n in halves]


# --- requantize ----------------------------------------------------------------------------------------------------


def mantissa_and_shift(ratio: Fraction) -> tuple[int, int]:
    """26 bits of mantissa in [1/2, 1], and how far the product is shifted right."""
    exponent = 0
    while ratio / Fraction(2) ** exponent >= 1:
        exponent += 1
    while ratio / Fraction(2) ** exponent < Fraction(1, 2):
        exponent -= 1
    return round(ratio / Fraction(2) ** exponent * 2**26), 26 - exponent


def requantize_oracle(acc: int, ratio: float) -> int:
    """One rounding, of the exact product, half toward plus infinity."""
    multiplier, shift = mantissa_and_shift(Fraction(ratio))
    return half_up(Fraction(acc * multiplier, 2**shift))


RATIOS = (
    st.floats(2.0**-30, 2.0**25, exclude_max=True)
    | st.floats(0, 2.0**-30, exclude_min=True)
    | st.sampled_from(
        [1.0, 0.5, 2.0, 2.0**24, float(np.nextafter(2.0**25, 0)), 5e-324, 2.0**-36, 2.0**-37, 1.0 - 2**-53]
    )
)


@given(acc=st.lists(INT32, min_size=1, max_size=6), ratio=RATIOS)
@example(acc=[2**31 - 1, -(2**31)], ratio=float(np.nextafter(2.0**25, 0)))
@example(acc=[2**31 - 1, -(2**31)], ratio=2.0**-32)
@example(acc=[2**31 - 1, -(2**31)], ratio=2.0**-33)
def test_requantize(acc: list[int], ratio: float) -> None:
    multiplier, shift = arithmetic.requantize_multiplier(ratio)
    found = arithmetic.requantize(np.array(acc, np.int32), multiplier, shift)
    assert found.dtype == np.int64
    assert found.tolist() == [requantize_oracle(a, ratio) for a in acc]


@given(n=st.integers(-(2**24), 2**24), power=st.integers(1, 24), odd=st.sampled_from([1, 3, 5]))
def test_requantize_at_ties_goes_up(n: int, power: int, odd: int) -> None:
    """acc · m = n + 1/2 exactly."""
    acc = (2 * n + 1) * 2 ** (power - 1)
    assume(abs(acc * odd) < 2**31)
    ratio = odd / 2**power
    multiplier, shift = arithmetic.requantize_multiplier(ratio)
    found = int(arithmetic.requantize(np.array(acc), multiplier, shift))
    assert found == math.floor(Fraction(acc * odd, 2**power) + Fraction(1, 2))


@given(ratio=RATIOS)
def test_requantize_multiplier(ratio: float) -> None:
    multiplier, shift = arithmetic.requantize_multiplier(ratio)
    assert 2**25 <= multiplier <= 2**26
    assert 1 <= shift <= 62
    expected = mantissa_and_shift(Fraction(ratio))
    assert (int(multiplier), int(shift)) == (expected[0], min(expected[1], 62))


@given(ratio=st.floats().filter(lambda r: not 0 < r < 2**25))
@example(ratio=0.0)
@example(ratio=2.0**25)
@example(ratio=-1.0)
@example(ratio=math.inf)
@example(ratio=math.nan)
def test_requantize_refuses_other_ratios(ratio: float) -> None:
    with pytest.raises(QuantizationError, match=r"conv needs a requantize ratio of .*, expected above 0 and below"):
        arithmetic.requantize_multiplier(np.array([0.5, ratio]), "conv")


def test_requantize_by_channel() -> None:
    ratios = np.array([0.3, 1.7, 2.0**-20, 2.0**20])
    acc = np.random.default_rng(0).integers(-(2**31), 2**31, (5, 4))
    found = arithmetic.requantize(acc, *arithmetic.requantize_multiplier(ratios))
    assert_array_equal(found, [[requantize_oracle(int(a), r) for a, r in zip(row, ratios, strict=True)] for row in acc])


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1))
def test_saturate9(x: list[int]) -> None:
    assert arithmetic.saturate9(np.array(x)).tolist() == [saturated(v, -256, 255) for v in x]


@given(
    weight=st.lists(st.lists(st.integers(-128, 127), min_size=3, max_size=3), min_size=1, max_size=4),
    bias=INT32,
    zero_point=ZERO_POINTS,
    codes=st.lists(st.integers(0, 255), min_size=3, max_size=3),
)
def test_accumulator_bound(weight: list[list[int]], bias: int, zero_point: int, codes: list[int]) -> None:
    array = np.array(weight, np.int8).reshape(len(weight), 3, 1, 1)
    bound = arithmetic.accumulator_bound(array, np.full(len(weight), bias, np.int32)).tolist()
    for row, most in zip(weight, bound, strict=True):
        assert most == 255 * sum(map(abs, row)) + abs(bias)
        partial = bias
        for w, q in zip(row, codes, strict=True):
            partial += w * (q - zero_point)
            assert abs(partial) <= most


@given(scale=st.floats(0, 2.0**-126, width=32, exclude_min=True))
def test_reciprocal(scale: float) -> None:
    exact = 1 / real(np.float32(scale))
    if exact >= Fraction(2) ** 128 - Fraction(2) ** 103:
        with pytest.raises(QuantizationError, match="is too small: its float32 reciprocal overflows"):
            arithmetic.reciprocal_of(np.float32(scale))
    else:
        assert real(arithmetic.reciprocal_of(np.float32(scale))) == f32(exact)
