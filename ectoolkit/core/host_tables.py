"""Functions of one code as EdgeCortix's host code computes them: tables of 256 codes.

Found by black-box tests of MERA 1.6.0, all 256 codes of each draw of scales and zero points, most of them made so that
a value lies on a tie or one float32 beside it.

| function | elements | equal |
|---|---|---|
| hardswish | 14,848 | 100 % |
| sigmoid | 18,432 | 100 % |
| hardsigmoid | 12,288 | 100 % |

Their order of operations is theirs: each step below is one rounding to float32, `fused` multiply-adds included.
"""

from __future__ import annotations

import numpy as np

from ectoolkit.core.arithmetic import round_to_integer
from ectoolkit.core.types import QuantParams, Rounding

#: what torch gives a quantized sigmoid, whatever was observed
SIGMOID = QuantParams.uint8(1 / 256, 0)
_SIX, _THREE = np.float32(6), np.float32(3)


def hardswish(source: QuantParams, target: QuantParams) -> np.ndarray:
    """``x · clip(x + 3, 0, 6) / 6``, divided by the output's scale.

    Args:
        source: grid of the input.
        target: grid of the output.

    Returns:
        uint8 ``(256,)``.
    """
    x = _reals(source)
    y = x * np.clip(x + _THREE, np.float32(0), _SIX) / _SIX
    return _codes(y / target.scalar, target)


def sigmoid(source: QuantParams) -> np.ndarray:
    """``1 / (1 + exp(-x))`` on the grid `SIGMOID`; the exponential is numpy's in float32.

    Args:
        source: grid of the input.

    Returns:
        uint8 ``(256,)``.
    """
    one = np.float32(1)
    with np.errstate(over="ignore"):
        y = one / (one + np.exp(-_reals(source)))
    return _codes(y / SIGMOID.scalar, SIGMOID)


def hardsigmoid(source: QuantParams) -> np.ndarray:
    """``clip(x + 3, 0, 6) / 6`` on the grid of the **input**, by products with reciprocals.

    torch gives its result the grid of `SIGMOID`; theirs keeps the input's, which has fewer steps between 0 and 1.

    Args:
        source: grid of the input and of the result.

    Returns:
        uint8 ``(256,)``.
    """
    steps = np.arange(256) - source.zero_point
    fused = (steps * np.float64(source.scalar) + 3).astype(np.float32)
    y = np.clip(fused, np.float32(0), _SIX) * (np.float32(1) / _SIX)
    return _codes(y * (np.float32(1) / source.scalar), source)


def _reals(grid: QuantParams) -> np.ndarray:
    """float32 ``(256,)``: what each code stands for."""
    return (np.arange(256) - grid.zero_point).astype(np.float32) * grid.scalar


def _codes(steps: np.ndarray, grid: QuantParams) -> np.ndarray:
    # beyond 512 steps the code saturates whatever the zero point
    whole = round_to_integer(np.clip(steps, -512, 512), Rounding.HALF_AWAY_FROM_ZERO).astype(np.int32)
    return np.clip(whole + grid.zero_point, grid.quant_min, grid.quant_max).astype(np.uint8)
