"""Arithmetic on codes, as tensor expressions: exact, through int64."""

from __future__ import annotations

from tvm import te, tirx

from ectoolkit.builders.cpu.kernels.computed import computed


def moved(value, multiplier, shift, zero_point, low, high):
    """``clip(R(value) + zero_point, low, high)`` of an int64, as int32.

    Source:
        `ectoolkit.core.arithmetic.requantize`.
    """
    wide = [tirx.const(number, "int64") for number in (multiplier, 1 << (shift - 1), shift)]
    rounded = tirx.shift_right(value * wide[0] + wide[1], wide[2]) + tirx.const(zero_point, "int64")
    return tirx.max(tirx.min(rounded, tirx.const(high, "int64")), tirx.const(low, "int64"))


@computed
def multiply(a, b, shape, zero_a, zero_b, multiplier, shift, zero_point, low, high):
    """Product of two uint8 tensors, each repeated along axes where it has one element."""

    def element(x, place, zero):
        own = [0 if int(extent) == 1 else at for extent, at in zip(x.shape, place, strict=True)]
        return x(*own).astype("int64") - tirx.const(zero, "int64")

    def product(*place):
        value = element(a, place, zero_a) * element(b, place, zero_b)
        return moved(value, multiplier, shift, zero_point, low, high)

    return te.compute(shape, product)
