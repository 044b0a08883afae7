"""Pools, upsampling and reshape."""

from __future__ import annotations

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.elementwise import requantize_scalar


def max_pool(x_shape, y_shape, kernel_size, stride, padding, dilation):
    """uint8 NHWC to uint8 NHWC: the largest code of each window."""
    n, h, w, c = x_shape
    _, rows, columns, _ = y_shape
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel_size, stride, padding, dilation

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, x_shape, "uint8")
        Y = T.match_buffer(y, y_shape, "uint8")
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel(n * rows):
            for column in T.serial(columns):
                for channel in T.serial(c):
                    Y[job // rows, job % rows, column, channel] = T.uint8(0)
                for i, j in T.grid(kh, kw):
                    row: T.let = job % rows * sh + i * dh - ph
                    source: T.let = column * sw + j * dw - pw
                    if row >= 0 and row < h and source >= 0 and source < w:
                        for channel in T.serial(c):
                            Y[job // rows, job % rows, column, channel] = T.max(
                                Y[job // rows, job % rows, column, channel], X[job // rows, row, source, channel]
                            )

    return kernel


def global_avg_pool(x_shape, half, multiplier, shift):
    """uint8 NHWC to uint8 ``(N, 1, 1, C)``: the truncated mean of raw codes.

    Args:
        x_shape: of the input.
        half, multiplier, shift: of `ectoolkit.core.ops.global_avg_pool.truncating_mean`.
    """
    n, h, w, c = x_shape

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, x_shape, "uint8")
        Y = T.match_buffer(y, (n, 1, 1, c), "uint8")
        total = T.sblock_alloc_buffer((n * c,), "int32")
        for image in T.serial(n):
            for channel in T.serial(c):
                total[image * c + channel] = 0
            for row, column in T.grid(h, w):
                for channel in T.serial(c):
                    total[image * c + channel] = total[image * c + channel] + T.Cast(
                        "int32", X[image, row, column, channel]
                    )
            for channel in T.serial(c):
                rounded: T.let = requantize_scalar(total[image * c + channel] - half, multiplier, shift)
                Y[image, 0, 0, channel] = T.Cast("uint8", T.max(rounded, T.int64(0)))

    return kernel


def upsample_nearest(x_shape):
    """uint8 NHWC to uint8 NHWC, twice the rows and columns, copied."""
    n, h, w, c = x_shape

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, x_shape, "uint8")
        Y = T.match_buffer(y, (n, 2 * h, 2 * w, c), "uint8")
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel(n * 2 * h):
            for column in T.serial(2 * w):
                for channel in T.serial(c):
                    Y[job // (2 * h), job % (2 * h), column, channel] = X[
                        job // (2 * h), job % (2 * h) // 2, column // 2, channel
                    ]

    return kernel


def blend(near, far):
    """Three parts near, one part far, to the nearest integer, half up."""
    return T.shift_right(near * 3 + far + 2, 2)


def upsample_bilinear(x_shape):
    """uint8 NHWC to uint8 NHWC, twice the rows and columns: columns first, then rows, each to whole codes."""
    n, h, w, c = x_shape

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, x_shape, "uint8")
        Y = T.match_buffer(y, (n, 2 * h, 2 * w, c), "uint8")
        middle = T.sblock_alloc_buffer((n, h, 2 * w, c), "uint8")
        for job in T.parallel(n * h):
            for column in T.serial(2 * w):
                far: T.let = T.max(T.min(column // 2 + column % 2 * 2 - 1, w - 1), 0)
                for channel in T.serial(c):
                    middle[job // h, job % h, column, channel] = T.Cast(
                        "uint8",
                        blend(
                            T.Cast("int32", X[job // h, job % h, column // 2, channel]),
                            T.Cast("int32", X[job // h, job % h, far, channel]),
                        ),
                    )
        for job in T.parallel(n * 2 * h):
            row: T.let = job % (2 * h)
            far_row: T.let = T.max(T.min(row // 2 + row % 2 * 2 - 1, h - 1), 0)
            for column in T.serial(2 * w):
                for channel in T.serial(c):
                    Y[job // (2 * h), row, column, channel] = T.Cast(
                        "uint8",
                        blend(
                            T.Cast("int32", middle[job // (2 * h), row // 2, column, channel]),
                            T.Cast("int32", middle[job // (2 * h), far_row, column, channel]),
                        ),
                    )

    return kernel


def reshape(x_shape, y_shape):
    """uint8 to uint8, elements counted in NCHW order.

    Args:
        x_shape: shape of the input inside the library: NHWC where 4-D.
        y_shape: of the output, likewise.
    """
    n, h, w, c = as_nhwc(x_shape)
    yn, yh, yw, yc = as_nhwc(y_shape)
    size = n * h * w * c

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        y_shaped = T.match_buffer(y, y_shape, "uint8")
        X = T.decl_buffer((size,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for i in T.serial(size):
            Y[((i // (yc * yh * yw) * yh + i % (yh * yw) // yw) * yw + i % yw) * yc + i // (yh * yw) % yc] = X[
                ((i // (c * h * w) * h + i % (h * w) // w) * w + i % w) * c + i // (h * w) % c
            ]

    return kernel


def as_nhwc(shape):
    """A shape inside the library as four extents; others than 4-D count as ``(N, 1, 1, everything)``."""
    if len(shape) == 4:
        return shape
    rest = 1
    for extent in shape[1:]:
        rest *= extent
    return (shape[0], 1, 1, rest)
