"""Endings of a convolution on two vectors at once, in 16 bits, where an instruction packs them.

Bytes come out in order because lanes make channels in the order that `tiles.Tile.made_by` says.
"""

from __future__ import annotations

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.endings import MAGIC, precise_total, rounded_in_float
from ectoolkit.builders.cpu.kernels.expressions import LANES, products_apart, requantize_apart

#: bits that a result may have below its code in 16 bits: nine must be left
MOST_BELOW = 6
BOTH = 2 * LANES


def finish_pair(ending, accs, factors, settings, other):
    """As `endings.finish` for two vectors, where its form is ``"float"``, or ``"high"`` with few bits below the code,
    or where it is a precise add without plain forms.

    Returns:
        uint8, twice LANES.
    """
    if ending.kind == "precise_add":
        codes = _precise_add(ending, accs, factors, settings, other)
    elif ending.form == "float":
        codes = _packed([rounded_in_float(acc, *own) for acc, own in zip(accs, factors, strict=True)])
    else:
        added = settings[1] if ending.kind == "codes" else 0
        products = [products_apart(acc, own[0], added, settings[4]) for acc, own in zip(accs, factors, strict=True)]
        codes = T.shift_right(_packed([_high_halves(*both) for both in products]), _words(settings[4] - 32))
    if ending.kind == "add":
        codes = _add(ending, codes, settings, other)
    return T.Cast(f"uint8x{BOTH}", _clip(codes, settings[2], settings[3]))


def _packed(vectors):
    return T.call_llvm_pure_intrin(f"int16x{BOTH}", "llvm.x86.avx512.packssdw.512", *vectors)


def _high_halves(even, odd):
    """The upper halves of two vectors of int64: in each quarter two of the first, then two of the second."""
    halves = [T.reinterpret(f"int32x{LANES}", vector) for vector in (even, odd)]
    places = [source + quarter + upper for quarter in range(0, LANES, 4) for source in (0, LANES) for upper in (1, 3)]
    return T.Shuffle(halves, places)


def _precise_add(ending, accs, factors, settings, other):
    """See `endings._precise_add`."""
    totals = []
    for acc, (own, *moved), operand in zip(accs, factors, _halves(other), strict=True):
        term = requantize_apart(acc, own, settings[5], settings[4], ending.form == "high")
        totals.append(precise_total(ending, term, moved, settings, operand, _words_multiplied))
    return _packed(totals)


def _halves(other):
    """Elements in the order of channels as two vectors of int32 lanes, in the order that `_packed` undoes."""
    firsts = [[quarter + half for quarter in range(0, BOTH, 8)] for half in (0, 4)]
    if other.ty.dtype.bits == 32:
        return [T.Shuffle([other], [first + lane for first in own for lane in range(4)]) for own in firsts]
    words, zero = T.Cast(f"int16x{BOTH}", other), _words(0)
    places = [[at for first in own for lane in range(4) for at in (first + lane, BOTH)] for own in firsts]
    return [T.reinterpret(f"int32x{LANES}", T.Shuffle([words, zero], each)) for each in places]


def _words_multiplied(sums, x, by):
    """``sums + x * by``, the upper words of `x` being 0."""
    words = [T.reinterpret(f"int16x{BOTH}", factor) for factor in (x, by)]
    return T.call_llvm_pure_intrin(f"int32x{LANES}", "llvm.x86.avx512.vpdpwssd.512", sums, *words)


def _words(value):
    return T.broadcast(T.Cast("int16", value), BOTH)


def _clip(x, low, high):
    return T.max(T.min(x, _words(high)), _words(low))


def _add(ending, main, settings, other):
    """See `endings._add`."""
    main = _clip(main, -256, 255)
    moved = T.Cast(f"int16x{BOTH}", other) - _words(settings[5])
    zero = settings[1]
    if ending.relu:
        return _scaled(T.min(main + moved, _words(settings[6])), settings[7], zero)
    left = _clip(_scaled(main, settings[7], zero), -256, 255)
    return left + _clip(_scaled(moved, settings[7], 0), -256, 255)


def _scaled(words, factor, added):
    """int16 numbers of a few bits times a float32, rounded: as in `endings`, of even and odd lanes apart."""
    wide = T.broadcast(T.reinterpret("float32", factor), LANES)
    # an odd number would turn ties the other way: there are none, `lowering.rounding.float_factor` refuses such factors
    magic = T.broadcast(T.float32(MAGIC) + T.Cast("float32", added), LANES)
    sixteen = T.broadcast(T.int32(16), LANES)
    lanes = T.reinterpret(f"int32x{LANES}", words)
    even, odd = (
        T.reinterpret(
            f"int32x{LANES}",
            T.call_llvm_pure_intrin(f"float32x{LANES}", "llvm.fma", T.Cast(f"float32x{LANES}", part), wide, magic),
        )
        for part in (T.shift_right(T.shift_left(lanes, sixteen), sixteen), T.shift_right(lanes, sixteen))
    )
    low = T.broadcast(T.int32(0xFFFF), LANES)
    return T.reinterpret(f"int16x{BOTH}", T.bitwise_and(even, low) | T.shift_left(odd, sixteen))
