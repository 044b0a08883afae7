"""What a CPU can do at most with an instruction set: every library carries these two kernels, for `Device.profile`.

They read and write their own small tensors; a run of the model calls neither.
"""

from __future__ import annotations

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.dot import dot

#: equal parts of the work, which threads share
JOBS = 64
#: dot-product steps over inputs and weights that stay in the innermost cache, and how often a job walks them
STEPS, WALKS = 64, 50
#: bytes that a job copies: together as many as outer caches hold
COPIED = 1 << 16


def sums_at_once(isa):
    """Accumulators, so many that none waits for itself and all stay in registers."""
    return min(isa.registers - 4, 12) if isa.registers > 8 else 4


def peak_macs(isa):
    """Multiply-accumulates alone: x, w to sums; `macs_of` says how many."""
    sums, lanes, group = sums_at_once(isa), isa.lanes, isa.group

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, w: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, ((STEPS + sums) * group,), isa.activation_dtype)
        W = T.match_buffer(w, (STEPS * lanes * group,), isa.weight_dtype)
        Y = T.match_buffer(y, (JOBS * sums * lanes,), "int32")
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel(JOBS):
            acc = T.sblock_alloc_buffer((sums * lanes,), "int32", scope="local")
            for m in T.unroll(sums):
                acc[T.Ramp(m * lanes, 1, lanes)] = T.broadcast(T.int32(0), lanes)
            for walk, step in T.grid(WALKS, STEPS):
                for m in T.unroll(sums):
                    acc[T.Ramp(m * lanes, 1, lanes)] = dot(
                        isa, acc[T.Ramp(m * lanes, 1, lanes)], X, (step + m) * group, W, step * lanes * group
                    )
            for m in T.unroll(sums):
                Y[T.Ramp((job * sums + m) * lanes, 1, lanes)] = acc[T.Ramp(m * lanes, 1, lanes)]

    return kernel


def macs_of(isa):
    """Multiply-accumulates of one call of `peak_macs`."""
    return JOBS * WALKS * STEPS * sums_at_once(isa) * isa.lanes * isa.group


def peak_bytes():
    """A copy of ``JOBS * COPIED`` bytes, which moves twice as many."""

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        X = T.match_buffer(x, (JOBS * COPIED,), "uint8")
        Y = T.match_buffer(y, (JOBS * COPIED,), "uint8")
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for job in T.parallel(JOBS):
            for i in T.serial(COPIED):
                Y[job * COPIED + i] = X[job * COPIED + i]

    return kernel
