"""Expressions that several kernels share, on vectors of `LANES` channels."""

from __future__ import annotations

from tvm.script import tirx as T

LANES = 16


def splat(value, dtype):
    """A constant in every lane."""
    return T.broadcast(T.Cast(dtype, value), LANES)


def saturate(codes, low, high, dtype="int32"):
    """Clip to [low, high], lane by lane."""
    return T.max(T.min(codes, splat(high, dtype)), splat(low, dtype))


def requantize(acc, multiplier, shift):
    """``(acc * multiplier + 2**(shift - 1)) >> shift`` on int32 lanes, through int64; int64 lanes.

    Source:
        `ectoolkit.core.arithmetic.requantize`.
    """
    wide = f"int64x{LANES}"
    wide_shift = T.Cast(wide, shift)
    half = T.shift_left(splat(1, "int64"), wide_shift - splat(1, "int64"))
    return T.shift_right(T.Cast(wide, acc) * T.Cast(wide, multiplier) + half, wide_shift)


def requantize_to_code(acc, multiplier, shift, zero_point, low, high):
    """An accumulator as an output code: int32 lanes within [low, high]."""
    # cut before the narrowing cast, which would wrap; zero_point is at most 255
    rounded = saturate(requantize(acc, multiplier, shift), -512, 512, "int64")
    return saturate(T.Cast(f"int32x{LANES}", rounded) + splat(zero_point, "int32"), low, high)


def host_requantize_to_code(acc, ratio, zero_point, low, high):
    """The host's float32 rounding of a linear layer: int32 lanes within [low, high].

    Source:
        `ectoolkit.core.ops.linear`.
    """
    floats = f"float32x{LANES}"
    product = T.Cast(floats, acc) * ratio
    # the clamp keeps LLVM from fusing the product with the addition, and the cast within int32
    cut = T.max(T.min(product, splat(1e6, "float32")), splat(-1e6, "float32"))
    rounded = T.floor(cut + splat(0.5, "float32"))
    return saturate(T.Cast(f"int32x{LANES}", rounded) + splat(zero_point, "int32"), low, high)


def products_apart(acc, multiplier, added, shift):
    """``acc * multiplier + (added + 1/2) * 2**shift`` of even and of odd int32 lanes; both int64, half as many."""
    wide, half = f"int64x{LANES // 2}", LANES // 2
    upper = T.broadcast(T.int64(32), half)
    constant = T.shift_left(T.Cast("int64", 2 * added + 1), T.Cast("int64", shift) - T.int64(1))
    pair, factors = T.reinterpret(wide, acc), T.reinterpret(wide, multiplier)
    # x86 has an instruction for products of the low halves, and LLVM sees that `_low_half` does nothing to them
    even = _low_half(pair, upper) * _low_half(factors, upper)
    odd = T.shift_right(pair, upper) * T.shift_right(factors, upper)
    return even + T.broadcast(constant, half), odd + T.broadcast(constant, half)


def requantize_apart(acc, multiplier, added, shift, high):
    """``((acc * multiplier + 2**(shift - 1)) >> shift) + added`` on int32 lanes, even and odd ones apart.

    Args:
        acc, multiplier: int32 lanes.
        added: int32, to the result.
        shift: int32, of all lanes.
        high: whether the shift is 32 or more.
    """
    even, odd = products_apart(acc, multiplier, added, shift)
    half = LANES // 2
    upper, amount = T.broadcast(T.int64(32), half), T.broadcast(T.Cast("int64", shift), half)
    low_bits, high_bits = T.broadcast(T.int64(2**32 - 1), half), T.broadcast(T.int64(-(2**32)), half)
    if high:
        both = T.bitwise_and(T.shift_right(even, upper), low_bits) | T.bitwise_and(odd, high_bits)
        return T.shift_right(T.reinterpret(f"int32x{LANES}", both), splat(shift - 32, "int32"))
    both = T.bitwise_and(T.shift_right(even, amount), low_bits) | T.bitwise_and(
        T.shift_left(odd, upper - amount), high_bits
    )
    return T.reinterpret(f"int32x{LANES}", both)


def _low_half(pair, upper):
    return T.shift_right(T.shift_left(pair, upper), upper)
