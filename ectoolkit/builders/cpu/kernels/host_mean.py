"""Mean over rows and columns as EdgeCortix's host code sums it: see `ectoolkit.core.ops.host_mean`."""

from __future__ import annotations

from tvm.script import tirx as T


def host_mean(x_shape, scale, zero_point, reciprocal, low, high):
    """uint8 NHWC to uint8 ``(N, 1, 1, C)`` on the same grid.

    Args:
        x_shape: of the input.
        scale: of the grid, a float32.
        zero_point: of the grid.
        reciprocal: float32 ``1 / (rows · columns)``.
        low, high: smallest and largest code.

    Products and sums are exact in float64, so that LLVM may fuse them; each rounding to float32 is written.
    """
    n, h, w, c = x_shape

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, x_shape, "uint8")
        Y = T.match_buffer(y, (n, 1, 1, c), "uint8")
        total = T.sblock_alloc_buffer((n * c,), "float32")
        for image in T.serial(n):
            for channel in T.serial(c):
                total[image * c + channel] = T.float32(0)
            for row, column in T.grid(h, w):
                for channel in T.serial(c):
                    steps: T.let = T.Cast("float64", T.Cast("int32", X[image, row, column, channel]) - zero_point)
                    total[image * c + channel] = T.Cast(
                        "float32", T.Cast("float64", total[image * c + channel]) + steps * T.float64(scale)
                    )
            for channel in T.serial(c):
                mean: T.let = T.Cast("float32", T.Cast("float64", total[image * c + channel]) * T.float64(reciprocal))
                # a quotient of two float32 in float64 rounds to float32 as their own quotient does
                ratio: T.let = T.Cast("float32", T.Cast("float64", mean) / T.float64(scale))
                size: T.let = T.floor(T.Cast("float64", T.abs(ratio)) + T.float64(0.5))
                code: T.let = T.if_then_else(ratio < T.float32(0), -size, size) + T.float64(zero_point)
                Y[image, 0, 0, channel] = T.Cast("uint8", T.max(T.min(code, T.float64(high)), T.float64(low)))

    return kernel
