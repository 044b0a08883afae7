"""Requantize in 32-bit lanes: one shift for all channels of a layer; and in float32, for numbers of few bits.

The kernels multiply 32 bits by 32 to 64 in even and odd lanes apart.  For that a layer's channels need one shift, so
multipliers are moved up as far as their spare bits allow; where that cannot be, the plain form in 64-bit lanes remains.
`float_rounding` has the float32 form of whole layers; which is taken when: ``docs/decisions/0010-rounding-of-sums.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.thresholds import makes_same_steps

#: what products in float32 may reach: kernels take the rounded ones from the lowest 16 bits
REACH = 2**15 - 256
#: what is tried on top of multipliers that lost bits
NUDGES = (0, 1, -1, 2, -2, 3, -3)


@dataclass(frozen=True)
class FixedPoint:
    """``((acc * multiplier + 2**(shift - 1)) >> shift) + added`` with one shift for all channels.

    Attributes:
        multiplier: int32 ``(channels,)``.
        shift: 1..62.
    """

    multiplier: np.ndarray
    shift: int


def fixed_point(
    multiplier: np.ndarray, shift: np.ndarray, added: int, ends: tuple[int, int] | None, bound: np.ndarray
) -> FixedPoint | None:
    """The form for a layer; None where it would not be equal for every accumulator or leave its integers.

    Args:
        multiplier, shift: int64 ``(channels,)``, from `arithmetic.requantize_multiplier`.
        added: to what is rounded.
        ends: where the result is cut later; None where it isn't, so that multipliers must keep all their bits.
        bound: int64 ``(channels,)``, the largest magnitude of an accumulator.
    """
    spare = 31 - int(np.ceil(np.log2(multiplier.max() + 1)))
    common = min(int(shift.max()), int(shift.min()) + spare)
    common = max(common, min(32, int(shift.min()) + spare))
    up = common - shift
    moved = np.where(up >= 0, multiplier << np.maximum(up, 0), np.rint(multiplier * 2.0 ** np.minimum(up, 0)))
    moved = moved.astype(np.int64)
    most = bound.astype(np.float64) * (moved + max(NUDGES)) + (abs(added) + 0.5) * 2.0**common
    if (most >= 2.0**62).any() or (most >= 2.0 ** (common + 30)).any():
        return None
    lossy = np.flatnonzero(up < 0)
    if lossy.size:
        own = (
            None
            if ends is None
            else _nudged(moved[lossy], common, multiplier[lossy], shift[lossy], added, ends, bound[lossy])
        )
        if own is None:
            return None
        moved[lossy] = own
    return FixedPoint(moved.astype(np.int32), common)


def _nudged(
    moved: np.ndarray,
    common: int,
    multiplier: np.ndarray,
    shift: np.ndarray,
    added: int,
    ends: tuple[int, int],
    bound: np.ndarray,
) -> np.ndarray | None:
    """Multipliers near those that lost bits which make the same codes; None where a channel has none."""
    found, constant = moved.copy(), (1 << (common - 1)) + (added << common)
    left = np.arange(len(moved))
    for nudge in NUDGES:
        own = (moved[left] + nudge)[:, None]

        def codes(points: np.ndarray, own: np.ndarray = own) -> np.ndarray:
            return np.clip((points * own + constant) >> common, *ends)

        good = makes_same_steps(codes, multiplier[left], shift[left], added, *ends, bound[left]) & (own[:, 0] >= 0)
        found[left[good]] = own[good, 0]
        left = left[~good]
        if not left.size:
            return found
    return None


def float_factor(multiplier: np.ndarray, shift: np.ndarray, bound: int, low: int, high: int) -> np.float32 | None:
    """A float32 with ``rint(x * factor)`` equal to requantize for whole numbers of few bits.

    Args:
        multiplier, shift: int64 ``()``, from `arithmetic.requantize_multiplier`.
        bound: the largest magnitude of x.
        low, high: results are equal when cut to these.

    Returns:
        The factor, None where there is none.
    """
    exact = float(multiplier) * 2.0 ** -float(shift)
    points = np.arange(-bound, bound + 1, dtype=np.int64)
    expected = np.clip(arithmetic.requantize(points, multiplier, shift), low, high)
    for nudge in range(-4, 5):
        factor = (np.array(exact, np.float32).view(np.int32) + np.int32(nudge)).view(np.float32)
        # a product of two float32 is exact in float64, so this is the fused multiply-add's one rounding
        product = points * np.float64(factor)
        if np.abs(product).max() <= REACH and np.array_equal(np.clip(np.rint(product), low, high), expected):
            return np.float32(factor)
    return None
