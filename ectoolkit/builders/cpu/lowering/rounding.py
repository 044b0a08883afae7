"""Rounding sums in float32, where that is proved to make the same codes as `ectoolkit.core.arithmetic.requantize`.

    code = rint(float32(acc + shift) · factor) - steps + zero point

The factor has 24 bits and the exact multiplier 26, so a plain product is wrong at some of a channel's thresholds. Its
error grows with the distance from 0; a shift that is a whole number of codes, to a small part of an accumulator's
step, moves the place without error to the middle of the codes.  Of the many such shifts the first that passes the
proof is taken.  The reasoning is in ``docs/decisions/0010-rounding-in-float.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.thresholds import makes_same_steps

#: up to where adding 1.5 · 2^23 to a float32 leaves the rounded number in its low bits
REACH = 2**22 - 1
#: shifts that are tried
TRIES = 32


@dataclass(frozen=True)
class Rounding:
    """A form in float32 for each channel.

    Attributes:
        shift: int64 ``(channels,)``, added to the accumulator.
        factor: float32 ``(channels,)``.
        steps: int64 ``(channels,)``, taken off the rounded product.
    """

    shift: np.ndarray
    factor: np.ndarray
    steps: np.ndarray


def rounding(
    multiplier: np.ndarray, shift: np.ndarray, zero_point: int, low: int, high: int, bound: np.ndarray
) -> Rounding | None:
    """A form that is equal for every accumulator, None where some channel has none.

    Args:
        multiplier, shift: int64 ``(channels,)``, from `arithmetic.requantize_multiplier`.
        zero_point: added to what is rounded.
        low, high: where codes are cut.
        bound: int64 ``(channels,)``, the largest magnitude of an accumulator.
    """
    exact = multiplier * 2.0**-shift
    factor = exact.astype(np.float32)
    shifts, steps = _shifts(exact, (low + high) // 2 - zero_point, (high - low) // 3)
    found = Rounding(np.zeros_like(multiplier), factor, np.zeros_like(multiplier))
    left = np.arange(len(multiplier))
    for place in range(shifts.shape[1]):
        trial = Rounding(shifts[left, place], factor[left], steps[left, place])
        ends = (zero_point, low, high)
        good = _in_reach(trial, bound[left])
        good[good] = _proved(trial, good, multiplier[left], shift[left], ends, bound[left])
        for whole, part in ((found.shift, trial.shift), (found.steps, trial.steps)):
            whole[left[good]] = part[good]
        left = left[~good]
        if not left.size:
            return found
    return None


def _shifts(exact: np.ndarray, middle: int, span: int) -> tuple[np.ndarray, np.ndarray]:
    """Accumulators that are nearly a whole number of steps, the nearest first and none last; both ``(channels, n)``."""
    steps = np.broadcast_to(np.arange(middle - span, middle + span + 1), (len(exact), 2 * span + 1))
    shifts = np.rint(np.clip(steps / exact[:, None], -(2.0**40), 2.0**40)).astype(np.int64)
    order = np.argsort(np.abs(shifts * exact[:, None] - steps), axis=1, kind="stable")[:, :TRIES]
    none = np.zeros((len(exact), 1), np.int64)
    picked = [np.take_along_axis(array, order, axis=1) for array in (shifts, steps)]
    return np.concatenate([picked[0], none], axis=1), np.concatenate([picked[1], none], axis=1)


def _in_reach(trial: Rounding, bound: np.ndarray) -> np.ndarray:
    """Where neither the shifted accumulator leaves int32 nor the product the range of exact rounding."""
    most = bound + np.abs(trial.shift)
    return (most <= arithmetic.INT32_MAX) & (most * trial.factor.astype(np.float64) <= REACH) & (trial.factor > 0)


def _proved(
    trial: Rounding,
    among: np.ndarray,
    multiplier: np.ndarray,
    shift: np.ndarray,
    ends: tuple[int, int, int],
    bound: np.ndarray,
) -> np.ndarray:
    """Whether the form makes the same steps, for the channels that `among` marks."""
    zero_point, low, high = ends
    own, factor, steps = (array[among][:, None] for array in (trial.shift, trial.factor, trial.steps))

    def codes(points: np.ndarray) -> np.ndarray:
        # a product of two float32 is exact in float64, so this is the fused multiply-add's one rounding
        product = (points + own).astype(np.float32).astype(np.float64) * factor.astype(np.float64)
        return np.clip(np.rint(product) - steps + zero_point, low, high)

    return makes_same_steps(codes, multiplier[among], shift[among], *ends, bound=bound[among])
