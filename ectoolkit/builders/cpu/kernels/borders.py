"""quantize and dequantize, reading and writing the deployment's layout (NCHW or NHWC), NHWC inside."""

from __future__ import annotations

from tvm.script import tirx as T


def outside_shape(inside, nchw):
    """Shape of the tensor in the deployment's layout; other than 4-D tensors have one layout only."""
    if len(inside) == 4 and nchw:
        n, h, w, c = inside
        return (n, c, h, w)
    return inside


def quantize(shape, inside, nchw, reciprocal, zero_point, low, high):
    """float32 in the deployment's layout to uint8 NHWC.

    Args:
        shape: ``(N, H, W, C)``; others than 4-D count as ``(N, 1, 1, everything)``.
        inside: the tensor's own shape inside the library, NHWC where 4-D.
        nchw: whether the input is laid out NCHW.
        reciprocal: float32 ``1 / scale``.
        zero_point: code of real 0.
        low: smallest code.
        high: largest code.
    """
    n, h, w, c = shape
    size, rows = n * h * w * c, n * h
    outside = outside_shape(inside, nchw)
    # |x| < 0.5 must give 0: the largest float32 below one half, not one half
    below_half = 0.49999997

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, outside, "float32")
        y_shaped = T.match_buffer(y, inside, "uint8")
        X = T.decl_buffer((size,), "float32", data=x_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(rows):
            for column in T.serial(w):
                for channel in T.serial(c):
                    source: T.let = (
                        ((row // h * c + channel) * h + row % h) * w + column
                        if nchw
                        else (row * w + column) * c + channel
                    )
                    # the clamp cuts what saturates anyway and keeps the product from being fused with the addition
                    scaled: T.let = T.max(T.min(X[source] * T.float32(reciprocal), T.float32(512)), T.float32(-512))
                    away: T.let = scaled + T.if_then_else(
                        scaled < T.float32(0), T.float32(-below_half), T.float32(below_half)
                    )
                    Y[(row * w + column) * c + channel] = T.Cast(
                        "uint8", T.max(T.min(T.Cast("int32", away) + zero_point, high), low)
                    )

    return kernel


def dequantize(shape, inside, nchw, scale, zero_point):
    """uint8 NHWC to float32 in the deployment's layout; arguments as for `quantize`."""
    n, h, w, c = shape
    size, rows = n * h * w * c, n * h
    outside = outside_shape(inside, nchw)

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, inside, "uint8")
        y_shaped = T.match_buffer(y, outside, "float32")
        X = T.decl_buffer((size,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((size,), "float32", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(rows):
            for column in T.serial(w):
                for channel in T.serial(c):
                    target: T.let = (
                        ((row // h * c + channel) * h + row % h) * w + column
                        if nchw
                        else (row * w + column) * c + channel
                    )
                    Y[target] = T.Cast(
                        "float32", T.Cast("int32", X[(row * w + column) * c + channel]) - zero_point
                    ) * T.float32(scale)

    return kernel
