"""What a dense convolution does with its sums: the ends of a kernel, on vectors of LANES channels.

Two ways of rounding make the same codes.  The exact one multiplies in 64 bits.  The other is one fused multiply-add in
float32 with 1.5 · 2^23, which leaves the rounded product in the low bits; it is used only where
`ectoolkit.builders.cpu.lowering.rounding` has proved it equal for every sum that a layer can have.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.expressions import (
    LANES,
    host_requantize_to_code,
    requantize,
    requantize_to_code,
    saturate,
    splat,
)

INTS, FLOATS, BYTES = f"int32x{LANES}", f"float32x{LANES}", f"uint8x{LANES}"
#: adding it to a float32 of less than 2^22 rounds to an integer, half to even
MAGIC = 1.5 * 2**23
MAGIC_BITS = 0x4B400000


@dataclass(frozen=True)
class Ending:
    """The end of a convolution.

    Attributes:
        kind: ``"sums"`` (raw int32), ``"codes"``, ``"host"`` (a linear layer's float32 rounding), ``"add"`` (the
            accelerator's residual add) or ``"precise_add"``.
        exact: whether sums are rounded in 64 bits rather than in float32.
        relu: of an add.
        other: dtype of an add's other operand.
    """

    kind: str
    exact: bool = False
    relu: bool = False
    other: str = ""

    @property
    def factors(self) -> tuple[str, ...]:
        """dtypes of the arrays with an element a channel, beside the bias."""
        if self.kind == "sums":
            return ()
        if self.kind == "host":
            return ("float32",)
        own = ("int32", "int32") if self.exact else ("float32", "int32")
        return (*own, "int32", "int32") if self.kind == "precise_add" else own

    @property
    def dtype(self) -> str:
        """Of the output."""
        return "int32" if self.kind == "sums" else "uint8"


def finish(ending: Ending, acc, factors, settings, other):
    """LANES sums as the output has them.

    Args:
        ending: what to do.
        acc: int32 lanes, the bias added.
        factors: a vector for each of `Ending.factors`.
        settings: int32 buffer: the input's code of real 0; the output's, its smallest and largest; then those of the
            add, see `_add` and `_precise_add`.
        other: the add's other operand, a vector.
    """
    low, high = settings[2], settings[3]
    if ending.kind == "sums":
        return acc
    if ending.kind == "host":
        return T.Cast(BYTES, host_requantize_to_code(acc, factors[0], settings[1], low, high))
    if ending.kind == "codes" and ending.exact:
        return T.Cast(BYTES, requantize_to_code(acc, *factors, settings[1], low, high))
    if ending.kind == "codes":
        # the offset holds the zero point too
        return T.Cast(BYTES, saturate(_bits(_scaled(T.Cast(FLOATS, acc), factors[0])) - factors[1], low, high))
    made = _add if ending.kind == "add" else _precise_add
    return T.Cast(BYTES, saturate(made(ending, acc, factors, settings, other), low, high))


def _scaled(x, factor):
    """A product rounded to an integer, plus `MAGIC`, in one rounding."""
    return T.call_llvm_pure_intrin(FLOATS, "llvm.fma", x, factor, splat(MAGIC, "float32"))


def _bits(x):
    return T.reinterpret(INTS, x)


def _clip(x, low, high):
    return T.max(T.min(x, high), low)


def _add(ending, acc, factors, settings, other):
    """The add of `ectoolkit.core.ops.add`; int32 lanes, not clipped to the output's codes yet.

    Settings from 4: the other operand's offset, the shift of what is rounded second, the ceiling under ReLU, the second
    factor (float32 bits), the second offset; all in the terms of `lowering.rounding`.
    """
    shift, ceiling = splat(settings[5], "float32"), splat(settings[6], "float32")
    factor = T.broadcast(T.reinterpret("float32", settings[7]), LANES)
    nine = (splat(-256, "float32"), splat(255, "float32"))
    if ending.exact:
        main = T.Cast(FLOATS, saturate(requantize(acc, *factors), -256, 255, "int64"))
    else:
        main = _clip(_scaled(T.Cast(FLOATS, acc), factors[0]) - T.Cast(FLOATS, factors[1]), *nine)
    # exact: whole numbers of a few bits; the clips keep them apart from the products
    moved = T.Cast(FLOATS, other) + splat(settings[4], "float32")
    if ending.relu:
        return _bits(_scaled(T.min(main + moved, ceiling), factor)) - splat(settings[8], "int32")
    left = _bits(_scaled(main + shift, factor)) - splat(settings[8], "int32")
    right = _bits(_scaled(moved, factor)) - splat(settings[9], "int32")
    return saturate(left, -256, 255) + saturate(right, -256, 255)


def _precise_add(ending, acc, factors, settings, other):
    """The add of `ectoolkit.core.ops.precise_add`; int32 lanes, not clipped to the output's codes yet.

    Settings from 4: the other operand's zero point, the output's zero point with half a code, both with the
    fraction's bits; how many bits; what a term may reach.
    """
    limit = settings[7]
    own = T.Cast(INTS, saturate(requantize(acc, *factors[:2]), -limit, limit, "int64"))
    centred = T.Cast(INTS, other) - splat(settings[4], "int32")
    moved = T.Cast(INTS, saturate(requantize(centred, *factors[2:]), -limit, limit, "int64"))
    return T.shift_right(own + moved + splat(settings[5], "int32"), splat(settings[6], "int32"))
