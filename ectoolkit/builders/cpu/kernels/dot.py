"""The dot products of the instruction sets: one group of input channels times its weights, added to int32 sums."""

from __future__ import annotations

from tvm.script import tirx as T


def dot(isa, acc, x, x_offset, w, w_offset):
    """``isa.lanes`` sums plus one group of input channels times its weights."""
    if isa.group == 4:
        return _dot_bytes(isa, acc, x, x_offset, w, w_offset)
    if isa.group == 2:
        return _dot_pairs(acc, x, x_offset, w, w_offset)
    # where both are int16, LLVM makes Arm's smlal of it
    weights = T.Cast(f"int32x{isa.lanes}", w[T.Ramp(w_offset, 1, isa.lanes)])
    return acc + T.broadcast(T.Cast("int32", x[x_offset]), isa.lanes) * weights


def taken(isa, code):
    """A code as the dot product takes it."""
    return T.Cast(isa.activation_dtype, T.Cast("int32", code) - isa.offset if isa.offset else code)


def _dot_bytes(isa, acc, x, x_offset, w, w_offset):
    """Four products of bytes a lane, added to int32, which none of these instructions saturates."""
    own, bits, size = isa.activation_dtype, 32 * isa.lanes, 4 * isa.lanes
    four = T.broadcast(T.reinterpret("int32", x.vload([x_offset], f"{own}x4")), isa.lanes)
    operands = (acc, T.reinterpret(f"{own}x{size}", four), w.vload([w_offset], f"int8x{size}"))
    name = {
        "x86_64": f"llvm.x86.avx512.vpdpbusd.{bits}",
        "aarch64": f"llvm.aarch64.neon.{'sdot' if own == 'int8' else 'usdot'}.v4i32.v16i8",
    }[isa.host_arch]
    return T.call_llvm_pure_intrin(f"int32x{isa.lanes}", name, *operands)


def _dot_pairs(acc, x, x_offset, w, w_offset):
    """vpmaddwd: two products of int16 a lane, exact."""
    pair = T.reinterpret("int32", x.vload([x_offset], "int16x2"))
    inputs = T.reinterpret("int16x16", T.broadcast(pair, 8))
    return acc + T.call_llvm_pure_intrin("int32x8", "llvm.x86.avx2.pmadd.wd", inputs, w.vload([w_offset], "int16x16"))
