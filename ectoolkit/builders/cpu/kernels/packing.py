"""Rearranges weights for the kernels, once, when a deployment is loaded.

``deploy.params`` keeps weights as the graph has them (int8 OIHW), whatever the instruction set.
"""

from __future__ import annotations

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.expressions import LANES


def padded(extent, multiple):
    """The next multiple."""
    return -(-extent // multiple) * multiple


def dense_shape(weight_shape, isa):
    """Shape of packed dense weights: blocks of LANES output channels × KH × KW × groups of inputs × LANES × group."""
    o, i, kh, kw = weight_shape
    return (padded(o, LANES) // LANES, kh, kw, padded(i, isa.group) // isa.group, LANES, isa.group)


def pack_dense(weight_shape, rank, isa):
    """int8 OIHW (or OI) to `dense_shape`; channels that are not there weigh 0."""
    o, i, kh, kw = weight_shape
    blocks, _, _, groups, _, group = dense_shape(weight_shape, isa)
    packed_shape, dtype = dense_shape(weight_shape, isa), isa.weight_dtype
    given_shape = weight_shape if rank == 4 else (o, i)

    @T.prim_func(s_tir=True)
    def kernel(w: T.handle, p: T.handle):
        T.func_attr({"tirx.noalias": True})
        w_shaped = T.match_buffer(w, given_shape, "int8")
        P = T.match_buffer(p, packed_shape, dtype)
        W = T.decl_buffer((o * i * kh * kw,), "int8", data=w_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for block in T.parallel(blocks):
            for r, s, g, lane, k in T.grid(kh, kw, groups, LANES, group):
                if block * LANES + lane < o and g * group + k < i:
                    P[block, r, s, g, lane, k] = T.Cast(
                        dtype, W[(((block * LANES + lane) * i + g * group + k) * kh + r) * kw + s]
                    )
                else:
                    P[block, r, s, g, lane, k] = T.Cast(dtype, 0)

    return kernel


def pack_depthwise(weight_shape):
    """int8 ``(C, 1, KH, KW)`` to int16 ``(KH, KW, C padded to LANES)``."""
    c, _, kh, kw = weight_shape
    lanes = padded(c, LANES)

    @T.prim_func(s_tir=True)
    def kernel(w: T.handle, p: T.handle):
        T.func_attr({"tirx.noalias": True})
        W = T.match_buffer(w, weight_shape, "int8")
        P = T.match_buffer(p, (kh, kw, lanes), "int16")
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for r, s, lane in T.grid(kh, kw, lanes):
            if lane < c:
                P[r, s, lane] = T.Cast("int16", W[lane, 0, r, s])
            else:
                P[r, s, lane] = T.int16(0)

    return kernel
