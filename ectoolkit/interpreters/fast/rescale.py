"""Requantize, exactly: in float64 where all numbers fit its 53 bits, else in int64 as the definition does.

    R(acc) + z = floor((acc · M + (2z + 1) · 2^(s-1)) / 2^s)

Counted in steps of 2^-s, product, constant and sum are whole numbers.  Where they stay within 2^53, float64 holds each
of them exactly, in any order and with or without fma; clip and floor are exact always.
"""

from __future__ import annotations

import numpy as np
import torch

from ectoolkit.interpreters.fast.layouts import to_codes

#: whole numbers up to here are float64
EXACT = 2**53
#: the largest shift that leaves room for the zero point of a code
MOST_SHIFT = 44


class Rescale:
    """``R(x + offset) + zero_point``, cut to two ends.

    Args:
        multiplier, shift: int64, ``(channels,)`` or ``()``, from `ectoolkit.core.arithmetic.requantize_multiplier`.
        bound: the largest magnitude of ``x + offset``, below 2^31; ``(channels,)`` or one.
        offset: integers added first, ``(channels,)`` or one; below 2^31.
        zero_point: added after the shift, 0..255.
    """

    def __init__(
        self,
        multiplier: np.ndarray,
        shift: np.ndarray,
        *,
        bound: np.ndarray | int,
        offset: np.ndarray | int = 0,
        zero_point: int = 0,
    ) -> None:
        multiplier, shift, limit, first = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(a, np.int64)) for a in (multiplier, shift, bound, offset))
        )
        # what rounds to 0 whatever it is (a channel whose weights are all but 0) needs no product
        multiplier = np.where(limit * multiplier < np.int64(1) << (shift - 1), 0, multiplier)
        shift = np.where(multiplier == 0, 1, shift)
        self.form = "float64" if _fits(multiplier, shift, limit, first, zero_point) else "int64"
        self._zero_point = zero_point
        if self.form == "float64":
            constant = first * multiplier + (2 * zero_point + 1) * (np.int64(1) << (shift - 1))
            self._ratio = torch.from_numpy(np.ldexp(multiplier.astype(np.float64), -shift))
            self._constant = torch.from_numpy(np.ldexp(constant.astype(np.float64), -shift))
        else:
            self._multiplier, self._shift, self._offset = (
                torch.from_numpy(a.copy()) for a in (multiplier, shift, first)
            )
            self._half = torch.from_numpy(np.int64(1) << (shift - 1))

    def cut(self, x: torch.Tensor, low: int, high: int) -> torch.Tensor:
        """Whole numbers within ``[low, high]``, float64 of the shape of `x`, whose last axis is the channels."""
        if self.form == "float64":
            return self._sum(x).clamp_(low, high + 0.5).floor_()
        return self._shifted(x).clamp_(low, high).to(torch.float64)

    def codes(self, x: torch.Tensor, low: int, high: int) -> torch.Tensor:
        """As `cut`, uint8; ``0 <= low``."""
        if self.form == "float64":
            return to_codes(self._sum(x).clamp_(low, high + 0.5))
        return self._shifted(x).clamp_(low, high).to(torch.uint8)

    def _sum(self, x: torch.Tensor) -> torch.Tensor:
        """``R(x + offset) + zero_point`` before the floor, float64."""
        buffer = x.to(torch.float64, copy=True)
        if self._ratio.numel() == 1:  # addcmul is slow with one number
            return buffer.mul_(self._ratio.item()).add_(self._constant.item())
        return torch.addcmul(self._constant, buffer, self._ratio, out=buffer)

    def _shifted(self, x: torch.Tensor) -> torch.Tensor:
        product = (x.to(torch.int64) + self._offset).mul_(self._multiplier).add_(self._half)
        return product.bitwise_right_shift_(self._shift).add_(self._zero_point)


def _fits(multiplier: np.ndarray, shift: np.ndarray, bound: np.ndarray, offset: np.ndarray, zero_point: int) -> bool:
    """Whether float64 holds every product, constant and sum, in steps of 2^-shift."""
    if (shift > MOST_SHIFT).any():
        return False
    rounding = abs(2 * zero_point + 1) * (np.int64(1) << (shift - 1))
    # all below 2^31 · 2^27 + 2^52: int64 holds them
    product = (bound + np.abs(offset)) * multiplier
    constant = np.abs(offset) * multiplier + rounding
    total = bound * multiplier + rounding
    return bool((np.maximum(product, np.maximum(constant, total)) <= EXACT).all())
