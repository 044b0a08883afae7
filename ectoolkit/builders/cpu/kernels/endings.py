"""What a dense convolution does with its sums: the ends of a kernel, on vectors of LANES channels."""

from __future__ import annotations

from dataclasses import dataclass

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.expressions import (
    LANES,
    host_requantize_to_code,
    requantize,
    requantize_apart,
    requantize_to_code,
    saturate,
    splat,
)

INTS, FLOATS, BYTES = f"int32x{LANES}", f"float32x{LANES}", f"uint8x{LANES}"
#: added to a float32 of less than 2^22 it leaves the rounded number in the low bits
MAGIC = 1.5 * 2**23
MAGIC_BITS = 0x4B400000
#: arrays with a multiplier or shift a channel, by form
_ARRAYS = {"plain": 2, "high": 1, "low": 1, "split": 0}


@dataclass(frozen=True)
class Ending:
    """The end of a convolution.

    Attributes:
        kind: ``"sums"`` (raw int32), ``"codes"``, ``"host"`` (a linear layer's float32 rounding), ``"add"`` (the
            accelerator's residual add) or ``"precise_add"``.
        form: how sums are rounded: ``"high"`` or ``"low"`` in even and odd lanes apart, with one shift of at least or
            less than 32 (see `lowering.rounding`); ``"plain"`` in 64-bit lanes; of codes also ``"float"``, where
            `lowering.float_rounding` has proved that it makes the same codes.
        relu: of an add.
        other: dtype of an add's other operand.
        moved: how a precise add moves its other operand to the output's grid: ``"split"`` (codes, by a whole number and
            a fraction, see `_moved`), ``"high"`` or ``"low"`` (sums, as `form`), or ``"plain"``.
    """

    kind: str
    form: str = "plain"
    relu: bool = False
    other: str = ""
    moved: str = "plain"

    @property
    def factors(self) -> tuple[str, ...]:
        """dtypes of the arrays with an element a channel, beside the bias."""
        if self.kind == "sums":
            return ()
        if self.kind == "host":
            return ("float32",)
        if self.form == "float":
            return ("float32", "int32")
        own = ("int32",) * _ARRAYS[self.form]
        return (*own, *("int32",) * _ARRAYS[self.moved]) if self.kind == "precise_add" else own

    @property
    def can_pair(self) -> bool:
        """Whether `pairs.finish_pair` knows this ending."""
        if self.kind == "precise_add":
            return "plain" not in (self.form, self.moved)
        return self.kind in ("codes", "add") and self.form in ("float", "high") and self.other in ("", "uint8")

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
        settings: int32 buffer: the input's code of real 0; the output's, its smallest and largest; the shift of all
            channels; then those of the add, see `_add` and `_precise_add`.
        other: the add's other operand, a vector.
    """
    low, high = settings[2], settings[3]
    if ending.kind == "sums":
        return acc
    if ending.kind == "host":
        return T.Cast(BYTES, host_requantize_to_code(acc, factors[0], settings[1], low, high))
    if ending.kind == "codes" and ending.form == "plain":
        return T.Cast(BYTES, requantize_to_code(acc, *factors, settings[1], low, high))
    if ending.kind == "codes":
        return T.Cast(BYTES, saturate(_rounded(ending, acc, factors, settings, settings[1]), low, high))
    made = _add if ending.kind == "add" else _precise_add
    return T.Cast(BYTES, saturate(made(ending, acc, factors, settings, other), low, high))


def rounded_in_float(acc, factor, offset):
    """Sums times a float32 as codes, the zero point in the offset; int32 lanes, not clipped yet."""
    ints = acc.ty.dtype
    floats = f"float32x{ints.lanes}"
    magic = T.broadcast(T.float32(MAGIC), ints.lanes)
    product = T.call_llvm_pure_intrin(floats, "llvm.fma", T.Cast(floats, acc), factor, magic)
    return T.reinterpret(str(ints), product) - offset


def _rounded(ending, acc, factors, settings, added):
    """Sums rounded in the forms but the plain one; int32 lanes."""
    if ending.form == "float":
        return rounded_in_float(acc, *factors)
    return requantize_apart(acc, factors[0], added, settings[4], ending.form == "high")


def _add(ending, acc, factors, settings, other):
    """The add of `ectoolkit.core.ops.add`; int32 lanes, not clipped to the output's codes yet.

    Settings from 5: the other operand's zero point, the ceiling under ReLU, the factor to the output's grid as float32
    bits.
    """
    if ending.form == "plain":
        main = T.Cast(INTS, saturate(requantize(acc, *factors), -256, 255, "int64"))
    else:
        main = saturate(_rounded(ending, acc, factors, settings, 0), -256, 255)
    moved = T.Cast(INTS, other) - splat(settings[5], "int32")
    zero = settings[1]
    if ending.relu:
        # below, the adder's nine bits end where ReLU cuts anyhow
        return _scaled(T.min(main + moved, splat(settings[6], "int32")), settings[7], zero)
    left = saturate(_scaled(main, settings[7], zero), -256, 255)
    return left + saturate(_scaled(moved, settings[7], 0), -256, 255)


def _scaled(x, factor, added):
    """Whole numbers of a few bits times a float32, rounded, as int32 lanes: exact, `lowering.rounding` sees to it."""
    wide = T.broadcast(T.reinterpret("float32", factor), LANES)
    rounded = T.call_llvm_pure_intrin(FLOATS, "llvm.fma", T.Cast(FLOATS, x), wide, splat(MAGIC, "float32"))
    return T.reinterpret(INTS, rounded) - splat(MAGIC_BITS - added, "int32")


def _precise_add(ending, acc, factors, settings, other):
    """The add of `ectoolkit.core.ops.precise_add`; int32 lanes, not clipped to the output's codes yet."""
    own, moved = factors[: _ARRAYS[ending.form]], factors[_ARRAYS[ending.form] :]
    limit = settings[7]
    if ending.form == "plain":
        term = T.Cast(INTS, saturate(requantize(acc, *own), -limit, limit, "int64")) + splat(settings[5], "int32")
    else:
        term = _rounded(ending, acc, own, settings, settings[5])
    return precise_total(ending, term, moved, settings, T.Cast(INTS, other), lambda sums, x, by: sums + x * by)


def precise_total(ending, term, factors, settings, other, multiply_add):
    """A term of a precise add and the other operand, moved, as codes.

    Settings from 5: what the term has got on top, half a code and the output's zero point among it; how many bits are
    below a code; what a term may reach.  From 8 in the split form: the whole number, the fraction, what is added to the
    fraction's products, how many bits they lose; in the others the other operand's zero point and its shift.

    Args:
        ending: the form.
        term: int32 lanes.
        factors: of the other operand.
        settings: int32 buffer.
        other: int32 lanes.
        multiply_add: ``(sums, x, by) -> sums + x * by`` on int32 lanes, where `x` is 0..255 and `by` fits 15 bits.
    """
    first, second, third, fourth = (splat(settings[place], "int32") for place in range(8, 12))
    if ending.moved == "split":
        total = multiply_add(term, other, first) + T.shift_right(other * second + third, fourth)
    elif ending.moved == "plain":
        limit = settings[7]
        total = term + T.Cast(INTS, saturate(requantize(other - first, *factors), -limit, limit, "int64"))
    else:
        total = term + requantize_apart(other, factors[0], 0, settings[9], ending.moved == "high")
    return T.shift_right(total, splat(settings[6], "int32"))
