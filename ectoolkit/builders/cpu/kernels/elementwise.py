"""Residual add, product and ReLU.

Tensors of codes are walked as one long row in equal parts, whatever their shape, so that compilers make whole vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.fixed_point import requantized, to_code

#: elements that one job takes
PART = 4096
#: channels that one vector takes where another operand has one value a channel
LANES = 16


@dataclass(frozen=True)
class AddSpec:
    """Constants of one residual add; the rule is in `ectoolkit.core.ops.add`.

    Attributes:
        shape: ``(N, H, W, C)`` or any other, channels last.
        main_zero: zero point of the main operand.
        other_zero: of the other.
        main: multiplier and shift of the main operand where it has codes, None where it has sums.
        multiplier, shift: to the output's grid.
        zero_point: of the output.
        relu: whether the result is cut at the zero point.
        ceiling: where the sum is cut under ReLU.
        low, high: smallest and largest code of the output.
    """

    shape: tuple[int, ...]
    main_zero: int
    other_zero: int
    main: tuple[int, int] | None
    multiplier: int
    shift: int
    zero_point: int
    relu: bool
    ceiling: int
    low: int
    high: int


def requantize_scalar(value, multiplier, shift):
    """``(value * multiplier + 2**(shift - 1)) >> shift`` through int64; int64."""
    wide_shift = T.Cast("int64", shift)
    half = T.shift_left(T.int64(1), wide_shift - T.int64(1))
    return T.shift_right(T.Cast("int64", value) * T.Cast("int64", multiplier) + half, wide_shift)


def cut(value, low, high):
    """An int64 within [low, high], as int32."""
    return T.Cast("int32", T.max(T.min(value, T.int64(high)), T.int64(low)))


def nine(value):
    """Within the nine bits of the accelerator's adder."""
    return T.max(T.min(value, 255), -256)


def added(spec: AddSpec, main, other):
    """The main operand on the other's grid, and the other without its zero point, as a code; int32."""
    ends = (spec.zero_point, spec.zero_point if spec.relu else spec.low, spec.high)
    moves = (spec.multiplier, spec.shift)
    if spec.relu:
        return to_code(T.max(T.min(main + other, spec.ceiling), -256), 511, *moves, ends)
    left = nine(requantized(main, 256, *moves, 1023) + spec.zero_point)
    return T.max(T.min(left + nine(requantized(other, 255, *moves, 1023)), spec.high), spec.low)


def add_codes(spec: AddSpec):
    """Two tensors of codes, the main operand first, to y."""
    size, shape = prod(spec.shape), spec.shape

    @T.prim_func(s_tir=True)
    def kernel(a: T.handle, b: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        a_shaped = T.match_buffer(a, shape, "uint8")
        b_shaped = T.match_buffer(b, shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        A = T.decl_buffer((size,), "uint8", data=a_shaped.data)
        B = T.decl_buffer((size,), "uint8", data=b_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for part in T.parallel((size + PART - 1) // PART):
            for i in T.serial(T.min(PART, size - part * PART)):
                main: T.let = nine(
                    requantized(T.Cast("int32", A[part * PART + i]) - spec.main_zero, 255, *spec.main, 1023)
                )
                other: T.let = T.Cast("int32", B[part * PART + i]) - spec.other_zero
                Y[part * PART + i] = T.Cast("uint8", added(spec, main, other))

    return kernel


def add_sums(spec: AddSpec):
    """Sums of a convolution, their multipliers and shifts (one a channel), and codes, to y."""
    rows, channels, shape = prod(spec.shape[:-1]), spec.shape[-1], spec.shape

    @T.prim_func(s_tir=True)
    def kernel(a: T.handle, mu: T.handle, sh: T.handle, b: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        a_shaped = T.match_buffer(a, shape, "int32")
        MU = T.match_buffer(mu, (channels,), "int32")
        SH = T.match_buffer(sh, (channels,), "int32")
        b_shaped = T.match_buffer(b, shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        A = T.decl_buffer((rows * channels,), "int32", data=a_shaped.data)
        B = T.decl_buffer((rows * channels,), "uint8", data=b_shaped.data)
        Y = T.decl_buffer((rows * channels,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(rows):
            for channel in T.serial(channels):
                main: T.let = cut(
                    requantize_scalar(A[row * channels + channel] - spec.main_zero, MU[channel], SH[channel]), -256, 255
                )
                other: T.let = T.Cast("int32", B[row * channels + channel]) - spec.other_zero
                Y[row * channels + channel] = T.Cast("uint8", added(spec, main, other))

    return kernel


def product(left, right, zeros, ratio, ends):
    """Product of two codes as a code; uint8.

    Products and sums are exact in float64, so that LLVM may fuse them; each of the two roundings to float32 is written.

    Source:
        `ectoolkit.core.ops.multiply`.
    """
    lanes = left.ty.dtype.lanes

    def of(kind):
        return kind if lanes == 1 else f"{kind}x{lanes}"

    def same(number):
        return number if lanes == 1 else T.broadcast(number, lanes)

    zero_point, low, high = ends
    steps = [T.Cast(of("int32"), code) - zero for code, zero in zip((left, right), zeros, strict=True)]
    exact = T.Cast(of("float64"), steps[0] * steps[1]) * same(T.float64(ratio)) + same(T.float64(zero_point))
    half = T.Cast(of("float64"), T.Cast(of("float32"), exact)) + same(T.float64(0.5))
    code = T.floor(T.Cast(of("float32"), half))
    return T.Cast(of("uint8"), T.max(T.min(code, same(T.float32(high))), same(T.float32(low))))


def multiply(shape, zeros, ratio, ends):
    """Product of two uint8 tensors of one shape.

    Args:
        shape: of both.
        zeros: zero points.
        ratio: scale of the product over the output's, a float32.
        ends: of the output: code of real 0, smallest, largest.
    """
    size = prod(shape)

    @T.prim_func(s_tir=True)
    def kernel(a: T.handle, b: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        a_shaped = T.match_buffer(a, shape, "uint8")
        b_shaped = T.match_buffer(b, shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        A = T.decl_buffer((size,), "uint8", data=a_shaped.data)
        B = T.decl_buffer((size,), "uint8", data=b_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for part in T.parallel((size + PART - 1) // PART):
            for i in T.serial(T.min(PART, size - part * PART)):
                Y[part * PART + i] = product(A[part * PART + i], B[part * PART + i], zeros, ratio, ends)

    return kernel


def scale_channels(shape, zeros, ratio, ends):
    """The same, the second operand with one value a channel of each image, as squeeze and excitation has it."""
    batch, channels = shape[0], shape[-1]
    pixels = prod(shape[1:-1])
    b_shape = (batch, 1, 1, channels)
    lanes = LANES if channels >= LANES else 1

    def some(begin):
        return T.Ramp(begin, 1, lanes) if lanes > 1 else begin

    @T.prim_func(s_tir=True)
    def kernel(a: T.handle, b: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        a_shaped = T.match_buffer(a, shape, "uint8")
        b_shaped = T.match_buffer(b, b_shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        A = T.decl_buffer((batch * pixels * channels,), "uint8", data=a_shaped.data)
        B = T.decl_buffer((batch * channels,), "uint8", data=b_shaped.data)
        Y = T.decl_buffer((batch * pixels * channels,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(batch * pixels):
            for block in T.serial((channels + lanes - 1) // lanes):
                # the last vector begins early rather than be narrower
                channel: T.let = T.min(block * lanes, channels - lanes)
                Y[some(row * channels + channel)] = product(
                    A[some(row * channels + channel)],
                    B[some(row // pixels * channels + channel)],
                    zeros,
                    ratio,
                    ends,
                )

    return kernel


def relu(shape, zero_point):
    """uint8 to uint8: the larger of code and zero point."""
    size = prod(shape)

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        X = T.decl_buffer((size,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for part in T.parallel((size + PART - 1) // PART):
            for i in T.serial(T.min(PART, size - part * PART)):
                Y[part * PART + i] = T.max(X[part * PART + i], T.Cast("uint8", zero_point))

    return kernel
