"""Residual add, product and ReLU."""

from __future__ import annotations

from dataclasses import dataclass

from tvm.script import tirx as T


@dataclass(frozen=True)
class AddSpec:
    """Constants of one residual add; the rule is in `ectoolkit.core.ops.add`.

    Attributes:
        shape: ``(N, H, W, C)`` or any other, channels last.
        main_dtype: ``"uint8"``, or ``"int32"`` for a raw accumulator with a scale a channel.
        main_zero: zero point of the main operand.
        other_zero: of the other.
        multiplier, shift: to the output's grid.
        zero_point: of the output.
        relu: whether the result is cut at the zero point.
        ceiling: where the sum is cut under ReLU.
        low, high: smallest and largest code of the output.
    """

    shape: tuple[int, ...]
    main_dtype: str
    main_zero: int
    other_zero: int
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


def add(spec: AddSpec):
    """main, main multipliers, main shifts, other to y."""
    rows, channels = 1, spec.shape[-1]
    for extent in spec.shape[:-1]:
        rows *= extent
    factors = channels if spec.main_dtype == "int32" else 1
    shape, main_dtype = spec.shape, spec.main_dtype
    multiplier, shift, zero, relu, ceiling = spec.multiplier, spec.shift, spec.zero_point, spec.relu, spec.ceiling
    low, high = spec.low, spec.high

    @T.prim_func(s_tir=True)
    def kernel(a: T.handle, mu: T.handle, sh: T.handle, b: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        a_shaped = T.match_buffer(a, shape, main_dtype)
        MU = T.match_buffer(mu, (factors,), "int32")
        SH = T.match_buffer(sh, (factors,), "int32")
        b_shaped = T.match_buffer(b, shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        A = T.decl_buffer((rows * channels,), main_dtype, data=a_shaped.data)
        B = T.decl_buffer((rows * channels,), "uint8", data=b_shaped.data)
        Y = T.decl_buffer((rows * channels,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(rows):
            for channel in T.serial(channels):
                factor: T.let = channel if factors > 1 else 0
                main: T.let = cut(
                    requantize_scalar(
                        T.Cast("int32", A[row * channels + channel]) - spec.main_zero, MU[factor], SH[factor]
                    ),
                    -256,
                    255,
                )
                other: T.let = T.Cast("int32", B[row * channels + channel]) - spec.other_zero
                if relu:
                    total: T.let = T.max(T.min(main + other, ceiling), -256)
                    code: T.let = cut(requantize_scalar(total, multiplier, shift), -512, 512) + zero
                    Y[row * channels + channel] = T.Cast("uint8", T.max(T.min(code, high), zero))
                else:
                    left: T.let = cut(requantize_scalar(main, multiplier, shift) + T.int64(zero), -256, 255)
                    right: T.let = cut(requantize_scalar(other, multiplier, shift), -256, 255)
                    Y[row * channels + channel] = T.Cast("uint8", T.max(T.min(left + right, high), low))

    return kernel


def multiply(shape, each, zero_a, zero_b, ratio, zero_point, low, high):
    """Product of two uint8 tensors, the second as large as the first or one value a channel.

    Args:
        shape: of the first, ``(N, ..., C)``.
        each: whether the second has a value for each element of the first.
        zero_a, zero_b: zero points.
        ratio: scale of the product over the output's, a float32.
        zero_point, low, high: of the output: code of real 0, smallest, largest.

    Products and sums are exact in float64, so that LLVM may fuse them; each of the two roundings to float32 is written.
    """
    batch, channels = shape[0], shape[-1]
    pixels = 1
    for extent in shape[1:-1]:
        pixels *= extent
    b_shape = shape if each else (batch, 1, 1, channels)
    b_size = batch * pixels * channels if each else batch * channels

    @T.prim_func(s_tir=True)
    def kernel(a: T.handle, b: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        a_shaped = T.match_buffer(a, shape, "uint8")
        b_shaped = T.match_buffer(b, b_shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        A = T.decl_buffer((batch * pixels * channels,), "uint8", data=a_shaped.data)
        B = T.decl_buffer((b_size,), "uint8", data=b_shaped.data)
        Y = T.decl_buffer((batch * pixels * channels,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(batch * pixels):
            for channel in T.serial(channels):
                left: T.let = T.Cast("int32", A[row * channels + channel]) - zero_a
                right: T.let = T.Cast("int32", B[(row if each else row // pixels) * channels + channel]) - zero_b
                exact: T.let = T.Cast("float64", left * right) * T.float64(ratio) + T.float64(zero_point)
                half: T.let = T.Cast("float64", T.Cast("float32", exact)) + T.float64(0.5)
                code: T.let = T.floor(T.Cast("float32", half))
                Y[row * channels + channel] = T.Cast("uint8", T.max(T.min(code, T.float32(high)), T.float32(low)))

    return kernel


def relu(shape, zero_point):
    """uint8 to uint8: the larger of code and zero point."""
    rows, channels = 1, shape[-1]
    for extent in shape[:-1]:
        rows *= extent

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        X = T.decl_buffer((rows * channels,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((rows * channels,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(rows):
            for channel in T.serial(channels):
                Y[row * channels + channel] = T.max(X[row * channels + channel], T.Cast("uint8", zero_point))

    return kernel
