"""Where codes begin, against Python integers; and that the proof of a candidate neither misses nor invents a fault."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ectoolkit.core import arithmetic
from ectoolkit.core.thresholds import makes_same_steps, thresholds

#: multipliers as requantize_multiplier gives them, its extremes included
MULTIPLIERS = st.integers(2**25, 2**26) | st.sampled_from([2**25, 2**25 + 1, 2**26 - 1, 2**26])
SHIFTS = st.integers(1, 62)
BOUNDS = st.integers(1, arithmetic.INT32_MAX) | st.just(arithmetic.INT32_MAX)


@st.composite
def ends(draw: st.DrawFn) -> tuple[int, int, int]:
    """Zero point, low and high: of an activation, under ReLU, of the nine-bit adder."""
    if draw(st.booleans()):
        return 0, arithmetic.ADD_MIN, arithmetic.ADD_MAX
    high = 2 ** draw(st.integers(4, 8)) - 1
    zero_point = draw(st.integers(0, high))
    return zero_point, draw(st.sampled_from([0, zero_point])), high


def code(acc: int, multiplier: int, shift: int, zero_point: int, low: int, high: int) -> int:
    return min(max((acc * multiplier + 2 ** (shift - 1) >> shift) + zero_point, low), high)


@given(multiplier=MULTIPLIERS, shift=SHIFTS, grid=ends(), bound=BOUNDS)
def test_thresholds_against_python_integers(
    multiplier: int, shift: int, grid: tuple[int, int, int], bound: int
) -> None:
    _, low, high = grid
    found = thresholds(np.array([multiplier]), np.array([shift]), *grid, bound)
    assert found.shape == (1, high - low)
    assert found.dtype == np.int64
    for wanted, begin in zip(range(low + 1, high + 1), found[0].tolist(), strict=True):
        assert -bound <= begin <= bound + 1
        if begin <= bound:
            assert code(begin, multiplier, shift, *grid) >= wanted
        if begin > -bound:
            assert code(begin - 1, multiplier, shift, *grid) < wanted


@given(data=st.data(), grid=ends())
def test_channels_have_bounds_of_their_own(data: st.DataObject, grid: tuple[int, int, int]) -> None:
    channels = data.draw(st.lists(st.tuples(MULTIPLIERS, SHIFTS, BOUNDS), min_size=1, max_size=5))
    multiplier, shift, bound = (np.array(column, np.int64) for column in zip(*channels, strict=True))
    found = thresholds(multiplier, shift, *grid, bound)
    for row, (m, s, b) in zip(found, channels, strict=True):
        assert_array_equal(row, thresholds(np.array([m]), np.array([s]), *grid, b)[0])


@given(multiplier=MULTIPLIERS, shift=SHIFTS, grid=ends(), bound=st.integers(1, 3000), move=st.integers(-1, 1))
def test_a_candidate_is_judged_as_trying_every_accumulator_would(
    multiplier: int, shift: int, grid: tuple[int, int, int], bound: int, move: int
) -> None:
    zero_point, low, high = grid
    shift = min(shift, 40)  # so that a few thousand accumulators cross a step
    ratio, half = np.float32(multiplier * 2.0**-shift), np.float32(zero_point + 0.5)
    ratio = np.nextafter(ratio, ratio + move, dtype=np.float32)

    def candidate(acc: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(acc.astype(np.float32) * ratio + half), low, high)

    everything = np.arange(-bound, bound + 1)[None]
    expected = np.array([[code(int(acc), multiplier, shift, *grid) for acc in everything[0]]])
    truth = bool((candidate(everything) == expected).all())
    found = makes_same_steps(candidate, np.array([multiplier]), np.array([shift]), *grid, bound)
    assert found.tolist() == [truth]


@given(multiplier=MULTIPLIERS, shift=SHIFTS, grid=ends(), bound=BOUNDS, data=st.data())
def test_one_step_off_by_one_is_noticed(
    multiplier: int, shift: int, grid: tuple[int, int, int], bound: int, data: st.DataObject
) -> None:
    _, low, _ = grid
    parameters = (np.array([multiplier]), np.array([shift]), *grid, bound)
    begins = thresholds(*parameters)[0]
    inside = np.flatnonzero((begins > -bound) & (begins <= bound))
    assume(inside.size)
    wrong = begins.copy()
    wrong[data.draw(st.sampled_from(inside.tolist()))] += data.draw(st.sampled_from([-1, 1]))
    for steps, same in ((begins, True), (wrong, False)):
        found = makes_same_steps(lambda acc: low + np.searchsorted(np.sort(steps), acc, side="right"), *parameters)  # noqa: B023
        assert found.tolist() == [same]


def test_channels_are_judged_by_themselves() -> None:
    multiplier, shift = arithmetic.requantize_multiplier(np.array([0.01, 0.37, 0.0021]))
    # exact in float64, but for the one in the middle
    wrong = multiplier * 2.0**-shift * np.array([1, 1.001, 1])

    def candidate(acc: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(acc * wrong[:, None] + 7.5), 0, 255)

    assert makes_same_steps(candidate, multiplier, shift, 7, 0, 255, 10**6).tolist() == [True, False, True]


@pytest.mark.parametrize("ratio", [1e-12, 1e-6, 0.5, 1.0, 2.0**24])
def test_extreme_ratios_saturate(ratio: float) -> None:
    multiplier, shift = arithmetic.requantize_multiplier(np.array([ratio]))
    found = thresholds(multiplier, shift, 128, 0, 255, 1000)[0]
    assert found.min() >= -1000
    assert found.max() <= 1001
    assert (np.diff(found) >= 0).all()
