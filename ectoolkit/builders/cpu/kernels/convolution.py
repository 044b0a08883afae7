"""Dense convolution (and linear layers, as 1×1 convolutions): register tiles of pixels × LANES output channels.

Each kernel first copies its input, widened for the dot product and framed by the zero point, then computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm.script import tirx as T

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.kernels.expressions import (
    LANES,
    host_requantize_to_code,
    requantize_to_code,
    splat,
)
from ectoolkit.builders.cpu.kernels.packing import dense_shape, padded

#: pixels a tile: 6 × two vectors of sums leave AVX2's 16 registers room for weights and input
TILE = 6


@dataclass(frozen=True)
class ConvSpec:
    """Shape and settings of one convolution; whatever is a grid comes as an array, so that equal shapes share a kernel.

    Attributes:
        x: input ``(N, H, W, C)``.
        weight: ``(O, C / groups, KH, KW)``.
        stride, padding, dilation: rows, columns.
        groups: of channels.
        rank: of input and output, 4 or 2.
        epilogue: ``"codes"`` (fixed point), ``"accumulator"`` (raw int32) or ``"host"`` (float32 rounding).
    """

    x: tuple[int, int, int, int]
    weight: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    rank: int
    epilogue: str

    @property
    def output(self) -> tuple[int, int, int, int]:
        """``(N, rows, columns, O)``."""
        n, h, w, _ = self.x
        o, _, kh, kw = self.weight
        (sh, sw), (ph, pw), (dh, dw) = self.stride, self.padding, self.dilation
        return (n, (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1, o)

    @property
    def output_dtype(self) -> str:
        return "int32" if self.epilogue == "accumulator" else "uint8"

    def shaped(self, shape: tuple[int, int, int, int]) -> tuple[int, ...]:
        """A shape as the graph's tensor has it: 2-D for linear layers."""
        return shape if self.rank == 4 else (shape[0], shape[3])


def epilogue_dtypes(epilogue: str) -> tuple[str, ...]:
    """dtypes of the per-channel arrays an epilogue reads, each padded to LANES: bias, then its factors."""
    return {
        "codes": ("int32", "int32", "int32"),
        "accumulator": ("int32",),
        "host": ("int32", "float32"),
    }[epilogue]


def finish(spec, acc, factors, grids, channel):
    """Sums of LANES channels, bias added, as the output has them; `grids` as for `dense`."""
    lanes = T.Ramp(channel, 1, LANES)
    total = acc + factors[0][lanes]
    if spec.epilogue == "accumulator":
        return total
    if spec.epilogue == "host":
        codes = host_requantize_to_code(total, factors[1][lanes], grids[1], grids[2], grids[3])
    else:
        ends = (grids[1], grids[2], grids[3])
        codes = requantize_to_code(total, factors[1][lanes], factors[2][lanes], *ends)
    return T.Cast(f"uint8x{LANES}", codes)


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


def dense(spec: ConvSpec, isa: Isa):
    """The kernel of a convolution with one group: x, packed weights, epilogue arrays, grids to y.

    The grids are four numbers: the input's code of real 0, which frames it; the output's; its smallest and largest.
    """
    n, h, w, c = spec.x
    _, rows, columns, o = spec.output
    _, _, kh, kw = spec.weight
    (sh, sw), (ph, pw), (dh, dw) = spec.stride, spec.padding, spec.dilation
    packed_shape = dense_shape(spec.weight, isa)
    blocks, groups, group = packed_shape[0], packed_shape[3], isa.group
    lanes_c = padded(c, group)
    tall, wide = h + 2 * ph, w + 2 * pw
    if (kh, kw, sh, sw, ph, pw) == (1, 1, 1, 1, 0, 0):
        n, h, w, rows, columns, tall, wide = 1, 1, n * h * w, 1, n * rows * columns, 1, n * tall * wide
    tile = min(TILE, columns)
    tiles = -(-columns // tile)
    copied = (n * tall * wide * lanes_c,)
    dtype, wdtype = isa.activation_dtype, isa.weight_dtype
    x_shape, y_shape = spec.shaped(spec.x), spec.shaped(spec.output)
    ydtype, edtypes = spec.output_dtype, epilogue_dtypes(spec.epilogue)
    x_size, y_size, w_size = n * h * w * c, n * rows * columns * o, 1
    for extent in packed_shape:
        w_size *= extent
    whole, factors, step = o % LANES == 0, len(edtypes), isa.lanes
    parts = LANES // step
    channels = blocks * LANES

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, wt: T.handle, e0: T.handle, e1: T.handle, e2: T.handle, g: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        w_shaped = T.match_buffer(wt, packed_shape, wdtype)
        E0 = T.match_buffer(e0, (channels,), "int32")
        E1 = T.match_buffer(e1, (channels,), edtypes[1] if factors > 1 else "int32")
        E2 = T.match_buffer(e2, (channels,), "int32")
        GRIDS = T.match_buffer(g, (4,), "int32")
        y_shaped = T.match_buffer(y, y_shape, ydtype)
        X = T.decl_buffer((x_size,), "uint8", data=x_shaped.data)
        W = T.decl_buffer((w_size,), wdtype, data=w_shaped.data)
        Y = T.decl_buffer((y_size,), ydtype, data=y_shaped.data)
        XP = T.sblock_alloc_buffer(copied, dtype)
        for r in T.parallel(n * tall):
            if r % tall < ph or r % tall >= ph + h:
                for i in T.serial(wide * lanes_c):
                    XP[r * wide * lanes_c + i] = taken(isa, GRIDS[0])
            else:
                for i in T.serial(pw * lanes_c):
                    XP[r * wide * lanes_c + i] = taken(isa, GRIDS[0])
                    XP[(r * wide + pw + w) * lanes_c + i] = taken(isa, GRIDS[0])
                if lanes_c == c:
                    for i in T.serial(w * c):
                        XP[(r * wide + pw) * c + i] = taken(isa, X[(r // tall * h + r % tall - ph) * w * c + i])
                else:
                    for p in T.serial(w):
                        for i in T.serial(c):
                            XP[(r * wide + pw + p) * lanes_c + i] = taken(
                                isa, X[((r // tall * h + r % tall - ph) * w + p) * c + i]
                            )
                        for i in T.serial(lanes_c - c):
                            XP[(r * wide + pw + p) * lanes_c + c + i] = T.Cast(dtype, 0)
        for job in T.parallel(blocks * n * rows):
            block: T.let = job // (n * rows)
            image: T.let = job % (n * rows) // rows
            row: T.let = job % rows
            for t in T.serial(tiles):
                # the last tile begins early and computes some pixels twice rather than be narrower
                column: T.let = T.min(t * tile, columns - tile)
                acc = T.sblock_alloc_buffer((tile * LANES,), "int32", scope="local")
                for m in T.unroll(tile):
                    acc[T.Ramp(m * LANES, 1, LANES)] = splat(0, "int32")
                for i, j in T.grid(kh, kw):
                    for g in T.serial(groups):
                        for m in T.unroll(tile):
                            for part in T.unroll(parts):
                                acc[T.Ramp(m * LANES + part * step, 1, step)] = dot(
                                    isa,
                                    acc[T.Ramp(m * LANES + part * step, 1, step)],
                                    XP,
                                    ((image * tall + row * sh + i * dh) * wide + (column + m) * sw + j * dw) * lanes_c
                                    + g * group,
                                    W,
                                    ((((block * kh + i) * kw + j) * groups + g) * LANES + part * step) * group,
                                )
                for m in T.unroll(tile):
                    if whole:
                        Y[T.Ramp(((image * rows + row) * columns + column + m) * o + block * LANES, 1, LANES)] = finish(
                            spec, acc[T.Ramp(m * LANES, 1, LANES)], (E0, E1, E2), GRIDS, block * LANES
                        )
                    else:
                        result = T.sblock_alloc_buffer((LANES,), ydtype, scope="local")
                        result[T.Ramp(0, 1, LANES)] = finish(
                            spec, acc[T.Ramp(m * LANES, 1, LANES)], (E0, E1, E2), GRIDS, block * LANES
                        )
                        for lane in T.serial(T.min(LANES, o - block * LANES)):
                            Y[((image * rows + row) * columns + column + m) * o + block * LANES + lane] = result[lane]

    return kernel
