"""Pools, upsampling and reshape."""

from __future__ import annotations

from math import prod

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.elementwise import cut, requantize_scalar

#: channels that one vector of codes takes
LANES = 32


def vector_of(channels):
    """Lanes of a vector of codes: `LANES`, fewer where there are fewer channels."""
    return max(lanes for lanes in (1, 2, 4, 8, 16, LANES) if lanes <= channels)


def some(begin, lanes):
    """Index of a vector, of one element where it is none."""
    return T.Ramp(begin, 1, lanes) if lanes > 1 else begin


def same(value, lanes):
    """A number in every lane."""
    return T.broadcast(value, lanes) if lanes > 1 else value


def like(dtype, lanes):
    """A dtype with lanes."""
    return f"{dtype}x{lanes}" if lanes > 1 else dtype


def max_pool(x_shape, y_shape, kernel_size, stride, padding, dilation):
    """uint8 NHWC to uint8 NHWC: the largest code of each window, 0 of one that lies outside the image."""
    n, h, w, c = x_shape
    _, rows, columns, _ = y_shape
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel_size, stride, padding, dilation
    lanes = vector_of(c)

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        y_shaped = T.match_buffer(y, y_shape, "uint8")
        X = T.decl_buffer((n * h * w * c,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((n * rows * columns * c,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel(n * rows):
            image: T.let = job // rows
            top: T.let = job % rows * sh - ph
            for column in T.serial(columns):
                left: T.let = column * sw - pw
                for block in T.serial((c + lanes - 1) // lanes):
                    # the last vector begins early rather than be narrower
                    channel: T.let = T.min(block * lanes, c - lanes)
                    largest = T.sblock_alloc_buffer((lanes,), "uint8", scope="local")
                    largest[some(0, lanes)] = same(T.uint8(0), lanes)
                    for i, j in T.grid(kh, kw):
                        row: T.let = top + i * dh
                        source: T.let = left + j * dw
                        if row >= 0 and row < h and source >= 0 and source < w:
                            largest[some(0, lanes)] = T.max(
                                largest[some(0, lanes)], X[some(((image * h + row) * w + source) * c + channel, lanes)]
                            )
                    Y[some((job * columns + column) * c + channel, lanes)] = largest[some(0, lanes)]

    return kernel


def sums_of_pixels(x_shape, finish):
    """uint8 NHWC to uint8 ``(N, 1, 1, C)``: what `finish` makes of the sum of each channel's codes, int32."""
    n, h, w, c = x_shape
    lanes = vector_of(c)
    blocks = -(-c // lanes)

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        y_shaped = T.match_buffer(y, (n, 1, 1, c), "uint8")
        X = T.decl_buffer((n * h * w * c,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((n * c,), "uint8", data=y_shaped.data)
        for job in T.parallel(n * blocks):
            image: T.let = job // blocks
            channel: T.let = T.min(job % blocks * lanes, c - lanes)
            total = T.sblock_alloc_buffer((lanes,), "int32", scope="local")
            total[some(0, lanes)] = same(T.int32(0), lanes)
            for pixel in T.serial(h * w):
                total[some(0, lanes)] = total[some(0, lanes)] + T.Cast(
                    like("int32", lanes), X[some((image * h * w + pixel) * c + channel, lanes)]
                )
            for lane in T.serial(lanes):
                Y[image * c + channel + lane] = T.Cast("uint8", finish(total[lane]))

    return kernel


def global_avg_pool(x_shape, half, multiplier, shift):
    """The truncated mean of raw codes; the numbers are of `ectoolkit.core.ops.global_avg_pool.truncating_mean`."""
    return sums_of_pixels(x_shape, lambda total: cut(requantize_scalar(total - half, multiplier, shift), 0, 255))


def mean(x_shape, input_zero, multiplier, shift, zero_point, low, high):
    """The mean of real values, rounded once to the output's grid; the rule is in `ectoolkit.core.ops.mean`."""
    zeros = input_zero * prod(x_shape[1:3])

    def finish(total):
        moved = cut(requantize_scalar(total - zeros, multiplier, shift), -512, 512) + zero_point
        return T.max(T.min(moved, high), low)

    return sums_of_pixels(x_shape, finish)


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
            for i in T.serial(2 * w * c):
                Y[job // (2 * h), row, i // c, i % c] = T.Cast(
                    "uint8",
                    blend(
                        T.Cast("int32", middle[job // (2 * h), row // 2, i // c, i % c]),
                        T.Cast("int32", middle[job // (2 * h), far_row, i // c, i % c]),
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
    part = 4096

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        y_shaped = T.match_buffer(y, y_shape, "uint8")
        X = T.decl_buffer((size,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel((size + part - 1) // part):
            for place in T.serial(T.min(part, size - job * part)):
                i: T.let = job * part + place
                Y[((i // (yc * yh * yw) * yh + i % (yh * yw) // yw) * yw + i % yw) * yc + i // (yh * yw) % yc] = X[
                    ((i // (c * h * w) * h + i % (h * w) // w) * w + i % w) * c + i // (h * w) % c
                ]

    return kernel


def as_nhwc(shape):
    """A shape inside the library as four extents; others than 4-D count as ``(N, 1, 1, everything)``."""
    if len(shape) == 4:
        return shape
    return (shape[0], 1, 1, prod(shape[1:]))
