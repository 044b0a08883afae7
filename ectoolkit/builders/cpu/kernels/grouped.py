"""Grouped convolution, one output channel at a time."""

from __future__ import annotations

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.convolution import ConvSpec, finish
from ectoolkit.builders.cpu.kernels.expressions import LANES, splat
from ectoolkit.builders.cpu.kernels.packing import padded


def grouped(spec: ConvSpec):
    """The kernel of a convolution with groups of several channels; weights stay int8 OIHW."""
    n, h, w, c = spec.x
    _, rows, columns, o = spec.output
    _, per_group, kh, kw = spec.weight
    (sh, sw), (ph, pw), (dh, dw) = spec.stride, spec.padding, spec.dilation
    blocks, out_per_group = padded(o, LANES) // LANES, o // spec.groups
    ydtype, channels = spec.output_dtype, padded(o, LANES)
    x_shape, y_shape, w_shape = spec.x, spec.output, spec.weight

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, wt: T.handle, e0: T.handle, e1: T.handle, e2: T.handle, g: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, x_shape, "uint8")
        W = T.match_buffer(wt, w_shape, "int8")
        E0 = T.match_buffer(e0, (channels,), "int32")
        E1 = T.match_buffer(e1, (channels,), "int32")
        E2 = T.match_buffer(e2, (channels,), "int32")
        GRIDS = T.match_buffer(g, (4,), "int32")
        Y = T.match_buffer(y, y_shape, ydtype)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel(n * rows):
            image: T.let = job // rows
            row: T.let = job % rows
            for column in T.serial(columns):
                for block in T.serial(blocks):
                    acc = T.sblock_alloc_buffer((LANES,), "int32", scope="local")
                    result = T.sblock_alloc_buffer((LANES,), ydtype, scope="local")
                    acc[T.Ramp(0, 1, LANES)] = splat(0, "int32")
                    for lane in T.serial(T.min(LANES, o - block * LANES)):
                        for i, j in T.grid(kh, kw):
                            r: T.let = row * sh + i * dh - ph
                            s: T.let = column * sw + j * dw - pw
                            inside: T.let = r >= 0 and r < h and s >= 0 and s < w
                            for k in T.serial(per_group):
                                acc[lane] = acc[lane] + T.if_then_else(
                                    inside,
                                    T.Cast(
                                        "int32",
                                        X[
                                            image,
                                            T.max(T.min(r, h - 1), 0),
                                            T.max(T.min(s, w - 1), 0),
                                            (block * LANES + lane) // out_per_group * per_group + k,
                                        ],
                                    ),
                                    GRIDS[0],
                                ) * T.Cast("int32", W[block * LANES + lane, k, i, j])
                    result[T.Ramp(0, 1, LANES)] = finish(
                        spec, acc[T.Ramp(0, 1, LANES)], (E0, E1, E2), GRIDS, block * LANES
                    )
                    for lane in T.serial(T.min(LANES, o - block * LANES)):
                        Y[image, row, column, block * LANES + lane] = result[lane]

    return kernel
