"""Addition with one rounding; the rule is in `ectoolkit.core.ops.precise_add`."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.elementwise import PART, cut, requantize_scalar
from ectoolkit.builders.cpu.kernels.fixed_point import requantized


@dataclass(frozen=True)
class PreciseAddSpec:
    """Constants of one addition.

    Attributes:
        shape: ``(N, H, W, C)`` or any other, channels last.
        zeros: zero points of the operands.
        moves: multiplier and shift of each operand that has codes, None of one that has sums.
        fraction: bits below the output's codes.
        limit: what a term may reach.
        zero_point: of the output.
        low, high: smallest and largest code of the output, under ReLU the zero point.
    """

    shape: tuple[int, ...]
    zeros: tuple[int, int]
    moves: tuple[tuple[int, int] | None, tuple[int, int] | None]
    fraction: int
    limit: int
    zero_point: int
    low: int
    high: int


def rounded(spec: PreciseAddSpec, left, right):
    """Two terms as a code; uint8."""
    code = T.shift_right(left + right + (1 << (spec.fraction - 1)), spec.fraction) + spec.zero_point
    return T.Cast("uint8", T.max(T.min(code, spec.high), spec.low))


def precise_add_codes(spec: PreciseAddSpec):
    """Two tensors of codes to their sum."""
    shape, size = spec.shape, prod(spec.shape)

    def term(code, place):
        return requantized(T.Cast("int32", code) - spec.zeros[place], 255, *spec.moves[place], spec.limit)

    @T.prim_func(s_tir=True)
    def kernel(a: T.handle, b: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        a_shaped = T.match_buffer(a, shape, "uint8")
        b_shaped = T.match_buffer(b, shape, "uint8")
        y_shaped = T.match_buffer(y, shape, "uint8")
        A = T.decl_buffer((size,), "uint8", data=a_shaped.data)
        B = T.decl_buffer((size,), "uint8", data=b_shaped.data)
        Y = T.decl_buffer((size,), "uint8", data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for part in T.parallel((size + PART - 1) // PART):
            for i in T.serial(T.min(PART, size - part * PART)):
                Y[part * PART + i] = rounded(spec, term(A[part * PART + i], 0), term(B[part * PART + i], 1))

    return kernel


def precise_add(spec: PreciseAddSpec):
    """X, its multipliers and shifts, Y, its multipliers and shifts, to the sum; an operand may have sums, and then has
    a multiplier and a shift a channel."""
    rows, channels, shape = prod(spec.shape[:-1]), spec.shape[-1], spec.shape
    first, second = ("int32" if move is None else "uint8" for move in spec.moves)
    many_a, many_b = (channels if move is None else 1 for move in spec.moves)
    (zero_a, zero_b), limit = spec.zeros, spec.limit

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
                Y[row * channels + channel] = rounded(spec, left, right)

    return kernel
