"""Rearranges weights for the kernels, once, when a deployment is loaded.

``deploy.params`` keeps weights as the graph has them (int8 OIHW), whatever the instruction set.
"""

from __future__ import annotations

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.dense import packed_shape, runs_of
from ectoolkit.builders.cpu.kernels.expressions import LANES


def padded(extent, multiple):
    """The next multiple."""
    return -(-extent // multiple) * multiple


def pack_dense(weight_shape, rank, dilation, tile, isa):
    """int8 OIHW (or OI) to `dense.packed_shape`; channels and run ends that are not there weigh 0."""
    o, i, kh, kw = weight_shape
    shape, dtype, runs = (
        packed_shape(weight_shape, dilation, tile, isa),
        isa.weight_dtype,
        runs_of(weight_shape, dilation, isa),
    )
    groups, taps, steps, vectors, _, group = shape
    given_shape = weight_shape if rank == 4 else (o, i)
    columns_apart = taps // kh

    @T.prim_func(s_tir=True)
    def kernel(w: T.handle, p: T.handle):
        T.func_attr({"tirx.noalias": True})
        w_shaped = T.match_buffer(w, given_shape, "int8")
        P = T.match_buffer(p, shape, dtype)
        W = T.decl_buffer((o * i * kh * kw,), "int8", data=w_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for block in T.parallel(groups):
            for tap, step, vector, lane, k in T.grid(taps, steps, vectors, LANES, group):
                channel: T.let = tile.begin(block, o, T.min) + tile.made_by(vector, lane)
                r: T.let = tap // columns_apart
                s: T.let = tap % columns_apart + (step * group + k) // i
                if channel < o and step * group + k < runs.length:
                    P[block, tap, step, vector, lane, k] = T.Cast(
                        dtype, W[((channel * i + (step * group + k) % i) * kh + r) * kw + s]
                    )
                else:
                    P[block, tap, step, vector, lane, k] = T.Cast(dtype, 0)

    return kernel
