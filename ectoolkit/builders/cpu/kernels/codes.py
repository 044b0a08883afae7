"""Arithmetic on codes, as tensor expressions: exact, through int64 or float64."""

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


def real(number):
    return tirx.const(number, "float64")


@computed
def multiply(a, b, shape, zero_a, zero_b, ratio, zero_point, low, high):
    """Product of two uint8 tensors, each repeated along axes where it has one element."""

    def element(x, place, zero):
        own = [0 if int(extent) == 1 else at for extent, at in zip(x.shape, place, strict=True)]
        return x(*own).astype("int32") - zero

    def product(*place):
        value = (element(a, place, zero_a) * element(b, place, zero_b)).astype("float64")
        total = (value * real(ratio) + real(zero_point)).astype("float32").astype("float64")
        code = te.floor((total + real(0.5)).astype("float32"))
        return te.max(te.min(code, tirx.const(high, "float32")), tirx.const(low, "float32"))

    return te.compute(shape, product)


@computed
def avg_pool2d(x, counts, shape, window, frame):
    """Windows of uint8 NCHW: their sums over counts.

    Args:
        x: the codes.
        counts: int32 ``(rows, columns)``.
        shape: of the result.
        window: kernel, stride and padding, each rows and columns.
        frame: the code around the input.
    """
    (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w) = window
    _, _, height, width = (int(extent) for extent in x.shape)
    down, across = te.reduce_axis((0, kernel_h), "down"), te.reduce_axis((0, kernel_w), "across")

    def element(n, c, i, j):
        row, column = i * stride_h + down - pad_h, j * stride_w + across - pad_w
        inside = tirx.all(row >= 0, row < height, column >= 0, column < width)
        kept = x[n, c, tirx.max(tirx.min(row, height - 1), 0), tirx.max(tirx.min(column, width - 1), 0)]
        return tirx.if_then_else(inside, kept.astype("int32"), frame)

    total = te.compute(shape, lambda *place: te.sum(element(*place), axis=[down, across]), name="total")
    return te.compute(shape, lambda n, c, i, j: total[n, c, i, j] // counts[i, j])
