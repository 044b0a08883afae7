"""pad, spread, slice, transpose and lookup: codes moved or exchanged one for one."""

from __future__ import annotations

from math import prod

from tvm.script import tirx as T


def pad(x_shape, y_shape, top, left, zero_point):
    """uint8 NHWC to uint8 NHWC inside a frame of the zero point."""
    n, h, w, c = x_shape
    _, rows, columns, _ = y_shape

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, x_shape, "uint8")
        Y = T.match_buffer(y, y_shape, "uint8")
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel(n * rows):
            row: T.let = job % rows - top
            for column in T.serial(columns):
                if row >= 0 and row < h and column >= left and column < left + w:
                    for channel in T.serial(c):
                        Y[job // rows, job % rows, column, channel] = X[job // rows, row, column - left, channel]
                else:
                    for channel in T.serial(c):
                        Y[job // rows, job % rows, column, channel] = T.Cast("uint8", zero_point)

    return kernel


def spread(x_shape, y_shape, stride, top, left, zero_point):
    """uint8 NHWC to uint8 NHWC: elements a stride apart, the zero point between and around them."""
    n, h, w, c = x_shape
    _, rows, columns, _ = y_shape
    sh, sw = stride

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, x_shape, "uint8")
        Y = T.match_buffer(y, y_shape, "uint8")
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel(n * rows):
            for i in T.serial(columns * c):
                Y[job // rows, job % rows, i // c, i % c] = T.Cast("uint8", zero_point)
        for job in T.parallel(n * h):
            for column in T.serial(w):
                for channel in T.serial(c):
                    Y[job // h, top + job % h * sh, left + column * sw, channel] = X[job // h, job % h, column, channel]

    return kernel


def slice_axis(x_shape, axis, begin, end):
    """uint8 to uint8: part of an axis (of the shapes given)."""
    outer, inner = prod(x_shape[:axis]), prod(x_shape[axis + 1 :])
    whole, part = x_shape[axis] * inner, (end - begin) * inner
    y_shape = (*x_shape[:axis], end - begin, *x_shape[axis + 1 :])

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        y_shaped = T.match_buffer(y, y_shape, "uint8")
        X = T.decl_buffer((outer * whole,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((outer * part,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(outer):
            for i in T.serial(part):
                Y[row * part + i] = X[row * whole + begin * inner + i]

    return kernel


def transpose(x_shape, order):
    """uint8 to uint8: axis ``order[i]`` of the input in place ``i`` (axes of the shapes given)."""
    y_shape = tuple(x_shape[axis] for axis in order)
    strides = [prod(x_shape[axis + 1 :]) for axis in range(len(x_shape))]
    steps = [strides[axis] for axis in order]
    size = prod(x_shape)

    def source(index):
        """Flat position in the input of a flat position in the output."""
        position, rest = 0, index
        for extent, step in reversed(list(zip(y_shape, steps, strict=True))):
            position = position + rest % extent * step
            rest = rest // extent
        return position

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        y_shaped = T.match_buffer(y, y_shape, "uint8")
        X = T.decl_buffer((size,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for i in T.serial(size):
            Y[i] = X[source(i)]

    return kernel


def shuffle_channels(x_shape, groups):
    """uint8 NHWC to uint8 NHWC: the channels of `groups` equal parts in turns."""
    pixels, c = prod(x_shape[:-1]), x_shape[-1]
    part = c // groups

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        y_shaped = T.match_buffer(y, x_shape, "uint8")
        X = T.decl_buffer((pixels * c,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((pixels * c,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for pixel in T.parallel(pixels):
            for channel in T.serial(part):
                for group in T.serial(groups):
                    Y[pixel * c + channel * groups + group] = X[pixel * c + group * part + channel]

    return kernel


def lookup(shape):
    """uint8 and a table of 256 codes to uint8."""
    size, part = prod(shape), 4096

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, table: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, shape, "uint8")
        Table = T.match_buffer(table, (256,), "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        X = T.decl_buffer((size,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel((size + part - 1) // part):
            for i in T.serial(T.min(part, size - job * part)):
                Y[job * part + i] = Table[T.Cast("int32", X[job * part + i])]

    return kernel
