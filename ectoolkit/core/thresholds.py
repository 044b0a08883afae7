"""Requantize as a step function: where each code begins, and proof that a faster form makes the same steps.

``q = clip(R(acc) + z, low, high)``, with R of `ectoolkit.core.arithmetic.requantize`, never falls as acc grows, so
the smallest acc of each code says all about it:

    R(acc) >= r   <=>   acc · M + 2^(s-1) >= r · 2^s   <=>   acc >= ceil((2r - 1) · 2^(s-1) / M)

A form in float32 that never falls either (multiply by a positive number, add, floor, clip, with or without fma) is
equal everywhere as soon as it is equal at both sides of every step and at both ends.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ectoolkit.core import arithmetic

#: gives codes, ``(channels, points)``, for accumulators, int64 ``(channels, points)``; must not fall as they grow
Candidate = Callable[[np.ndarray], np.ndarray]


def thresholds(
    multiplier: np.ndarray,
    shift: np.ndarray,
    zero_point: int,
    low: int,
    high: int,
    bound: np.ndarray | int = arithmetic.INT32_MAX,
) -> np.ndarray:
    """The smallest accumulator of each code.

    Args:
        multiplier: int64 ``(channels,)``, from `arithmetic.requantize_multiplier`.
        shift: int64 ``(channels,)``, 1..62, likewise.
        zero_point: added after the shift.
        low, high: where the code is cut.
        bound: the largest magnitude of an accumulator, at most 2^31 - 1; one, or ``(channels,)``.

    Returns:
        int64 ``(channels, high - low)``: at ``[c, k - low - 1]`` the smallest acc in ``[-bound, bound]`` whose code
        is k or more; ``bound + 1`` where there is none.  Never falls along a channel.
    """
    multiplier, shift = np.asarray(multiplier, np.int64)[:, None], np.asarray(shift, np.int64)[:, None]
    reached = np.arange(low + 1, high + 1, dtype=np.int64)[None] - zero_point
    # cut so that the numerator stays within 2^62; what is cut lies beyond 2^62 / 2^26 and so beyond any bound
    most = np.int64(1) << (63 - shift)
    numerator = np.clip(2 * reached - 1, -most, most) << (shift - 1)
    limit = np.asarray(bound, np.int64).reshape(-1, 1)
    return np.clip(-(-numerator // multiplier), -limit, limit + 1)


def makes_same_steps(
    candidate: Candidate,
    multiplier: np.ndarray,
    shift: np.ndarray,
    zero_point: int,
    low: int,
    high: int,
    bound: np.ndarray | int = arithmetic.INT32_MAX,
) -> np.ndarray:
    """Whether a candidate equals requantize, zero point and clip for every accumulator in ``[-bound, bound]``.

    This is a proof, not a sample, if the candidate never falls as its accumulator grows, which is the caller's to
    see to: between two neighbouring steps both functions then lie between equal ends.

    Args:
        candidate: called once with accumulators, int64 ``(channels, points)``.
        multiplier, shift, zero_point, low, high, bound: as for `thresholds`.

    Returns:
        bool ``(channels,)``.
    """
    begins = thresholds(multiplier, shift, zero_point, low, high, bound)
    limit = np.broadcast_to(np.asarray(bound, np.int64).reshape(-1, 1), (len(begins), 1))
    points = np.clip(np.concatenate([-limit, begins - 1, begins, limit], axis=1), -limit, limit)
    rounded = arithmetic.requantize(points, np.asarray(multiplier)[:, None], np.asarray(shift)[:, None])
    expected = np.clip(rounded + zero_point, low, high)
    return np.asarray((candidate(points) == expected).all(axis=1))
