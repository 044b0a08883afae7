"""Addition with one rounding; the rule is in `ectoolkit.core.ops.precise_add`."""

from __future__ import annotations

from dataclasses import dataclass

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.elementwise import cut, requantize_scalar


@dataclass(frozen=True)
class PreciseAddSpec:
    """Constants of one addition.

    Attributes:
        shape: ``(N, H, W, C)`` or any other, channels last.
        dtypes: of the operands: ``"uint8"``, or ``"int32"`` for a raw accumulator.
        zeros: zero points of the operands.
        factors: how many multipliers each operand has: 1, or one a channel.
        fraction: bits below the output's codes.
        limit: what a term may reach.
        zero_point: of the output.
        low, high: smallest and largest code of the output, under ReLU the zero point.
    """

    shape: tuple[int, ...]
    dtypes: tuple[str, str]
    zeros: tuple[int, int]
    factors: tuple[int, int]
    fraction: int
    limit: int
    zero_point: int
    low: int
    high: int


def precise_add(spec: PreciseAddSpec):
    """X, its multipliers and shifts, Y, its multipliers and shifts, to the sum."""
    rows, channels = 1, spec.shape[-1]
    for extent in spec.shape[:-1]:
        rows *= extent
    shape, (first, second), (zero_a, zero_b) = spec.shape, spec.dtypes, spec.zeros
    many_a, many_b = spec.factors
    fraction, limit, zero, low, high = spec.fraction, spec.limit, spec.zero_point, spec.low, spec.high
    half = 1 << (fraction - 1)

    @T.prim_func(s_tir=True)
    def kernel(a: T.handle, mu_a: T.handle, sh_a: T.handle, b: T.handle, mu_b: T.handle, sh_b: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        a_shaped = T.match_buffer(a, shape, first)
        MA = T.match_buffer(mu_a, (many_a,), "int32")
        SA = T.match_buffer(sh_a, (many_a,), "int32")
        b_shaped = T.match_buffer(b, shape, second)
        MB = T.match_buffer(mu_b, (many_b,), "int32")
        SB = T.match_buffer(sh_b, (many_b,), "int32")
        y_shaped = T.match_buffer(y, shape, "uint8")
        A = T.decl_buffer((rows * channels,), first, data=a_shaped.data)
        B = T.decl_buffer((rows * channels,), second, data=b_shaped.data)
        Y = T.decl_buffer((rows * channels,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for row in T.parallel(rows):
            for channel in T.serial(channels):
                of_a: T.let = channel if many_a > 1 else 0
                of_b: T.let = channel if many_b > 1 else 0
                left: T.let = cut(
                    requantize_scalar(T.Cast("int32", A[row * channels + channel]) - zero_a, MA[of_a], SA[of_a]),
                    -limit,
                    limit,
                )
                right: T.let = cut(
                    requantize_scalar(T.Cast("int32", B[row * channels + channel]) - zero_b, MB[of_b], SB[of_b]),
                    -limit,
                    limit,
                )
                code: T.let = T.shift_right(left + right + half, fraction) + zero
                Y[row * channels + channel] = T.Cast("uint8", T.max(T.min(code, high), low))

    return kernel
