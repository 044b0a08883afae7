"""Requantize as one fused multiply-add in float32, proved to make the same codes for every sum of a layer.

    R(acc)  =  rint(float32(acc + shift) · factor) - steps        within the codes that the output has

The factor has 24 bits where the exact multiplier has 26.  With a factor given, each threshold of `core.thresholds`
allows ``steps - shift · factor`` a range about as wide as the factor: at a threshold T, where the result r begins,

    (T - 1) · factor - (r - 1/2)  <  steps - shift · factor  <  T · factor - (r - 1/2)

and some number lies in the ranges of all thresholds unless the factor is very bad.  Whole numbers ``shift`` and
``steps`` whose difference comes that near to it are found by trying: ``acc + shift`` may be anything that float32 holds
exactly.
The rounding itself is exact: the product is not rounded before 1.5 · 2^23 is added to it, which leaves no fraction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.thresholds import thresholds

#: whole numbers up to here are float32 numbers
WHOLE = 2**24
#: products up to here leave their rounded value in the low bits of a sum with 1.5 · 2^23
REACH = 2**22 - 1
#: steps tried at once, and how often
TRIED, ROUNDS = 512, 8


@dataclass(frozen=True)
class FloatForm:
    """One form for each channel.

    Attributes:
        shift: int64 ``(channels,)``, added to the accumulator.
        factor: float32 ``(channels,)``.
        steps: int64 ``(channels,)``, taken off the rounded product.
    """

    shift: np.ndarray
    factor: np.ndarray
    steps: np.ndarray


def float_form(
    multiplier: np.ndarray,
    shift: np.ndarray,
    zero_point: int,
    ends: tuple[int, int],
    reached: tuple[np.ndarray, np.ndarray],
) -> FloatForm | None:
    """A form that is equal for every accumulator, None where some channel has none.

    Args:
        multiplier, shift: int64 ``()`` or ``(channels,)``, from `arithmetic.requantize_multiplier`.
        zero_point: added to what is rounded.
        ends: where codes are cut.
        reached: int64 ``(channels,)`` each: the smallest and the largest accumulator.
    """
    multiplier, shift = (np.broadcast_to(array, reached[0].shape) for array in (multiplier, shift))
    exact = (multiplier * 2.0**-shift).astype(np.float32)
    found = FloatForm(np.zeros_like(reached[0]), exact.copy(), np.zeros_like(reached[0]))
    left = np.arange(len(exact))
    for units in (0, 1, -1, 2, -2):
        factor = (exact.view(np.int32) + np.int32(units)).view(np.float32)
        case = _Case(factor[left], multiplier[left], shift[left], zero_point, ends, reached[0][left], reached[1][left])
        trial = case.search()
        good = case.proved(trial)
        for whole, part in zip(_arrays(found), _arrays(trial), strict=True):
            whole[left[good]] = part[good]
        left = left[~good]
        if not left.size:
            return found
    return None


def sums_reached(weight: np.ndarray, folded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest accumulator of each channel, whatever the input codes are.

    Args:
        weight: int8 ``(channels, ...)``.
        folded: int64 ``(channels,)``, the bias without the zero point's share: what codes of 0 give.
    """
    wide = weight.astype(np.int64).reshape(len(weight), -1)
    return folded + 255 * np.minimum(wide, 0).sum(axis=1), folded + 255 * np.maximum(wide, 0).sum(axis=1)


def _arrays(form: FloatForm) -> tuple[np.ndarray, ...]:
    return (form.shift, form.factor, form.steps)


@dataclass(frozen=True)
class _Case:
    """Channels with one factor to try; arrays ``(channels,)``."""

    factor: np.ndarray
    multiplier: np.ndarray
    right: np.ndarray
    zero_point: int
    ends: tuple[int, int]
    least: np.ndarray
    most: np.ndarray

    def begins(self) -> np.ndarray:
        """int64 ``(channels, codes - 1)``: see `core.thresholds.thresholds`."""
        bound = np.minimum(np.maximum(np.abs(self.least), np.abs(self.most)), 2**31 - 1)
        return thresholds(self.multiplier, self.right, self.zero_point, *self.ends, bound)

    def search(self) -> FloatForm:
        """Shifts and steps in the range that the thresholds allow; zeros where there are none."""
        begins, wide = self.begins(), self.factor.astype(np.float64)[:, None]
        low, high = self.ends
        halves = np.arange(low + 1, high + 1) - self.zero_point - 0.5
        # a code that no accumulator reaches, or all do, does not matter
        matters = (begins > self.least[:, None]) & (begins <= self.most[:, None])
        above = np.where(matters, (begins - 1) * wide - halves, -np.inf).max(axis=1, initial=-np.inf)
        below = np.where(matters, begins * wide - halves, np.inf).min(axis=1, initial=np.inf)
        free = ~matters.any(axis=1)
        middle = (np.where(free, 0.0, above) + np.where(free, 0.0, below)) / 2
        # such steps keep the shifted accumulators about 0, the others follow to both sides
        first = np.rint(-(self.least + self.most) / 2 * wide[:, 0] + middle)
        # channels with one code only: any place will do
        shifts = np.where(free, -(self.least + self.most) // 2, 0)
        steps = np.where(free, -np.clip(arithmetic.requantize(self.least, self.multiplier, self.right), -1024, 1024), 0)
        left = np.flatnonzero(~free)
        for number in range(ROUNDS):
            places = np.arange(number * TRIED, (number + 1) * TRIED)
            trial = first[left, None] + np.where(places % 2, -(places // 2) - 1, places // 2)
            tried = np.rint(np.clip((trial - middle[left, None]) / wide[left], -(2.0**40), 2.0**40))
            difference = trial - tried * wide[left]
            good = (difference > above[left, None]) & (difference < below[left, None])
            good &= np.maximum(np.abs(self.least[left, None] + tried), np.abs(self.most[left, None] + tried)) <= WHOLE
            hit, place = good.any(axis=1), good.argmax(axis=1)
            shifts[left[hit]] = tried[hit, place[hit]].astype(np.int64)
            steps[left[hit]] = trial[hit, place[hit]].astype(np.int64)
            left = left[~hit]
            if not left.size:
                break
        return FloatForm(shifts, self.factor, steps)

    def proved(self, form: FloatForm) -> np.ndarray:
        """Whether the form gives the right code at both sides of each threshold and at both ends, ``(channels,)``.

        Neither function falls as accumulators grow, so between these points there is nothing to see.
        """
        begins, least, most = self.begins(), self.least[:, None], self.most[:, None]
        points = np.clip(np.concatenate([least, begins - 1, begins, most], axis=1), least, most)
        own, factor, steps = (array[:, None] for array in _arrays(form))
        # a product of two float32 is exact in float64, so this is the fused multiply-add's one rounding
        product = (points + own).astype(np.float32).astype(np.float64) * factor.astype(np.float64)
        expected = arithmetic.requantize(points, self.multiplier[:, None], self.right[:, None]) + self.zero_point
        same = np.clip(np.rint(product) - steps + self.zero_point, *self.ends) == np.clip(expected, *self.ends)
        held = (np.abs(points + own) <= WHOLE) & (np.abs(product) <= REACH)
        whole = (np.abs(form.steps) < 2**30) & (np.abs(form.shift) < 2**30) & (self.factor > 0)
        return np.asarray((same & held).all(axis=1) & whole)
