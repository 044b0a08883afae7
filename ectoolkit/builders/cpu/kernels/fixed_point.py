"""Requantize of small numbers in 32 bits, by a multiplier known when the kernel is made.

With ``multiplier = high · 2^k + low`` and ``k <= shift``

    (v · multiplier + 2^(shift - 1)) >> shift  =  (v · high + ((v · low + rest) >> k) + half) >> (shift - k)

exactly, where ``half · 2^k + rest = 2^(shift - 1)``: nothing is lost by shifting the lower part on its own.  What
codes, their differences and their products need fits 32 bits, so that many of them go through one instruction.
"""

from __future__ import annotations

from tvm.script import tirx as T

#: bits of the lower part
_LOW = 13


def requantized(value, most, multiplier, shift, limit):
    """R of `ectoolkit.core.arithmetic.requantize`, cut to ``[-limit, limit]``.

    Args:
        value: int32, scalar or vector.
        most: its largest magnitude, below 2^17.
        multiplier: integer up to 2^26.
        shift: integer, 1 to 62.
        limit: at most 2^29.

    Returns:
        int32, exact.
    """
    number = _numbers(value)
    # beyond some value all results are cut: so the value may be cut there first, and results stay within 2^30
    enough = ((limit + 1) << shift) // multiplier + 1
    if enough < most:
        value, most = T.max(T.min(value, number(enough)), number(-enough)), enough
    if most * multiplier < 1 << (shift - 1):
        return number(0)
    k = min(_LOW, shift)
    high, low = multiplier >> k, multiplier & ((1 << k) - 1)
    if shift > k:
        moved = value * number(high) + T.shift_right(value * number(low), number(k)) + number(1 << (shift - 1 - k))
        moved = T.shift_right(moved, number(shift - k))
    else:
        moved = value * number(high) + T.shift_right(value * number(low) + number(1 << (shift - 1)), number(shift))
    return T.max(T.min(moved, number(limit)), number(-limit))


def to_code(value, most, multiplier, shift, ends):
    """``clip(R(value) + zero point, smallest, largest)`` as int32; `ends` are the three."""
    number = _numbers(value)
    zero_point, low, high = ends
    moved = requantized(value, most, multiplier, shift, 512) + number(zero_point)
    return T.max(T.min(moved, number(high)), number(low))


def _numbers(value):
    """Makes constants of the shape of a value."""
    lanes = value.ty.dtype.lanes
    return lambda n: T.broadcast(T.int32(n), lanes) if lanes > 1 else T.int32(n)
