"""Depthwise and grouped convolution.

Depthwise works on LANES channels at once: a byte times a weight fits int16 exactly (255 · 128 < 2**15), sums are
int32.  Any other grouping goes one output channel at a time: right, and not fast.
"""

from __future__ import annotations

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.convolution import ConvSpec, finish
from ectoolkit.builders.cpu.kernels.expressions import LANES, splat
from ectoolkit.builders.cpu.kernels.packing import padded

TILE = 4


def depthwise(spec: ConvSpec):
    """The kernel of a convolution with a group a channel; arguments as those of `convolution.dense`."""
    n, h, w, c = spec.x
    _, rows, columns, _ = spec.output
    _, _, kh, kw = spec.weight
    (sh, sw), (ph, pw), (dh, dw) = spec.stride, spec.padding, spec.dilation
    lanes_c = padded(c, LANES)
    tall, wide, blocks = h + 2 * ph, w + 2 * pw, lanes_c // LANES
    tile = min(TILE, columns)
    tiles = -(-columns // tile)
    ydtype, whole = spec.output_dtype, c == lanes_c
    x_shape, y_shape, packed_shape = spec.x, spec.output, (kh, kw, lanes_c)
    x_size, y_size = n * h * w * c, n * rows * columns * c

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, wt: T.handle, e0: T.handle, e1: T.handle, e2: T.handle, g: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        w_shaped = T.match_buffer(wt, packed_shape, "int16")
        E0 = T.match_buffer(e0, (lanes_c,), "int32")
        E1 = T.match_buffer(e1, (lanes_c,), "int32")
        E2 = T.match_buffer(e2, (lanes_c,), "int32")
        GRIDS = T.match_buffer(g, (4,), "int32")
        y_shaped = T.match_buffer(y, y_shape, ydtype)
        X = T.decl_buffer((x_size,), "uint8", data=x_shaped.data)
        W = T.decl_buffer((kh * kw * lanes_c,), "int16", data=w_shaped.data)
        Y = T.decl_buffer((y_size,), ydtype, data=y_shaped.data)
        XP = T.sblock_alloc_buffer((n * tall * wide * lanes_c,), "uint8")
        for r in T.parallel(n * tall):
            if r % tall < ph or r % tall >= ph + h:
                for i in T.serial(wide * lanes_c):
                    XP[r * wide * lanes_c + i] = T.Cast("uint8", GRIDS[0])
            else:
                for i in T.serial(pw * lanes_c):
                    XP[r * wide * lanes_c + i] = T.Cast("uint8", GRIDS[0])
                    XP[(r * wide + pw + w) * lanes_c + i] = T.Cast("uint8", GRIDS[0])
                for p in T.serial(w):
                    for i in T.serial(c):
                        XP[(r * wide + pw + p) * lanes_c + i] = X[((r // tall * h + r % tall - ph) * w + p) * c + i]
                    for i in T.serial(lanes_c - c):
                        XP[(r * wide + pw + p) * lanes_c + c + i] = T.uint8(0)
        for job in T.parallel(n * rows):
            image: T.let = job // rows
            row: T.let = job % rows
            for block in T.serial(blocks):
                for t in T.serial(tiles):
                    column: T.let = T.min(t * tile, columns - tile)
                    acc = T.sblock_alloc_buffer((tile * LANES,), "int32", scope="local")
                    for m in T.unroll(tile):
                        acc[T.Ramp(m * LANES, 1, LANES)] = splat(0, "int32")
                    for i, j in T.grid(kh, kw):
                        for m in T.unroll(tile):
                            acc[T.Ramp(m * LANES, 1, LANES)] = acc[T.Ramp(m * LANES, 1, LANES)] + T.Cast(
                                f"int32x{LANES}",
                                T.Cast(
                                    f"int16x{LANES}",
                                    XP[
                                        T.Ramp(
                                            ((image * tall + row * sh + i * dh) * wide + (column + m) * sw + j * dw)
                                            * lanes_c
                                            + block * LANES,
                                            1,
                                            LANES,
                                        )
                                    ],
                                )
                                * W[T.Ramp((i * kw + j) * lanes_c + block * LANES, 1, LANES)],
                            )
                    for m in T.unroll(tile):
                        if whole:
                            Y[T.Ramp(((image * rows + row) * columns + column + m) * c + block * LANES, 1, LANES)] = (
                                finish(spec, acc[T.Ramp(m * LANES, 1, LANES)], (E0, E1, E2), GRIDS, block * LANES)
                            )
                        else:
                            result = T.sblock_alloc_buffer((LANES,), ydtype, scope="local")
                            result[T.Ramp(0, 1, LANES)] = finish(
                                spec, acc[T.Ramp(m * LANES, 1, LANES)], (E0, E1, E2), GRIDS, block * LANES
                            )
                            for lane in T.serial(T.min(LANES, c - block * LANES)):
                                Y[((image * rows + row) * columns + column + m) * c + block * LANES + lane] = result[
                                    lane
                                ]

    return kernel


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
