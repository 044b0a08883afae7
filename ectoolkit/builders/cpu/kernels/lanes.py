"""Vectors of channels for the kernels that work on each channel alone: how channels are cut into blocks, and how the
rows of a block become operands of the dot product.

A block of W channels is W bytes of each row.  Interleaving ``isa.group`` rows byte by byte gives every int32 lane the
bytes of one channel, as vpdpbusd (four) and vpmaddwd (two) want them.  x86 unpacks within 128 bits: channels come out
in `PIECES` vectors in the order of `channel_of`, and packing the sums to bytes again undoes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import tirx
from tvm.script import tirx as T
from tvm.script.ir_builder import tirx as I

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.kernels.endings import Ending, rounded_in_float

#: channels of the narrowest block
NARROWEST = 16
#: vectors of int32 lanes that a block's bytes become
PIECES = 4


@dataclass(frozen=True)
class Block:
    """Channels ``[offset, offset + width)``; `packed` is where its lanes begin in packed arrays."""

    offset: int
    width: int
    packed: int


def blocks_of(channels: int, isa: Isa) -> list[Block]:
    """Blocks that cover all channels, of at most two widths, the wider first.

    The last may begin early and do some channels twice.  Below `NARROWEST` channels there is one block, wider than
    what is there.
    """
    widths = _widths(channels, isa.lanes * PIECES if isa.group > 1 else NARROWEST)
    blocks, packed = [], 0
    for place, width in enumerate(widths):
        offset = sum(widths[:place])
        blocks.append(Block(max(min(offset, channels - width), 0), width, packed))
        packed += width
    return blocks


def _widths(channels: int, widest: int) -> list[int]:
    while widest > max(channels, NARROWEST):
        widest //= 2
    whole, rest = divmod(channels, widest)
    narrow = NARROWEST
    while narrow < rest:
        narrow *= 2
    return [widest] * whole + [min(narrow, widest)] * (rest > 0)


def packed_lanes(channels: int, isa: Isa) -> int:
    """Lanes of a packed array with one element a channel."""
    return sum(block.width for block in blocks_of(channels, isa))


def order_of(channels: int, isa: Isa) -> np.ndarray:
    """int64 ``(packed_lanes,)``: the channel at each lane, -1 where there is none."""
    lanes = [
        block.offset + channel_of(isa, block.width, lane)
        for block in blocks_of(channels, isa)
        for lane in range(block.width)
    ]
    return np.array([channel if channel < channels else -1 for channel in lanes])


def pieces_of(isa: Isa) -> int:
    """Vectors that a block's sums are."""
    return PIECES if isa.group > 1 else 1


def channel_of(isa: Isa, width: int, lane: int) -> int:
    """Channel, counted within the block, at a lane, counted through all pieces."""
    if isa.group == 1:
        return lane
    piece, within = divmod(lane, width // PIECES)
    return within // 4 * 16 + piece * 4 + within % 4


def shuffled(vectors, places):
    """Elements of some vectors, counted through all of them."""
    return tirx.Shuffle(vectors, [tirx.IntImm("int32", place) for place in places])


def unpacked(first, second, width, size, high):
    """Units of `size` bytes of two vectors in turns, from the low or the high half of each 128 bits."""
    units = 16 // size // 2
    places = [
        source * width + lane * 16 + (high * units + unit) * size + byte
        for lane in range(width // 16)
        for unit in range(units)
        for source in range(2)
        for byte in range(size)
    ]
    return shuffled([first, second], places)


def taken(isa: Isa, codes, width):
    """uint8 codes ``(width,)`` as the dot product takes them, bit for bit: 128 off makes a signed byte."""
    return T.bitwise_xor(codes, T.broadcast(T.uint8(128), width)) if isa.offset else codes


def operands(isa: Isa, rows, width):
    """The pieces of ``isa.group`` rows, uint8 ``(width,)`` each, as the dot product takes them."""
    if isa.group == 1:
        return list(rows)
    halves = [
        [I.bind(unpacked(*rows[first : first + 2], width, 1, high)) for high in (False, True)]
        for first in range(0, isa.group, 2)
    ]
    if isa.group == 4:
        return [unpacked(halves[0][half], halves[1][half], width, 2, high) for half in (0, 1) for high in (False, True)]
    zero = T.broadcast(T.uint8(0), width)
    widened = [unpacked(half, zero, width, 1, high) for half in halves[0] for high in (False, True)]
    return [T.reinterpret(f"int16x{width // 2}", piece) for piece in widened]


def operand_dtype(isa: Isa) -> str:
    """Of `operands`."""
    return "int16" if isa.group == 2 else "uint8"


def weight_dtype(isa: Isa) -> str:
    """Of the weights that `dot` takes."""
    return "int8" if isa.group == 4 else "int16"


def dot(isa: Isa, sums, piece, weights, width):
    """int32 sums of a piece plus its operands times weights."""
    lanes = width // pieces_of(isa)
    sums_dtype = f"int32x{lanes}"
    if isa.group == 4:
        name = f"llvm.x86.avx512.vpdpbusd.{lanes * 32}"
        if isa.host_arch == "aarch64":
            name = f"llvm.aarch64.neon.{'sdot' if isa.offset else 'usdot'}.v4i32.v16i8"
        own = T.reinterpret(f"int8x{4 * lanes}", piece) if isa.offset else piece
        return T.call_llvm_pure_intrin(sums_dtype, name, sums, own, weights)
    if isa.group == 2:
        name = "llvm.x86.avx2.pmadd.wd" if lanes == 8 else "llvm.x86.sse2.pmadd.wd"
        return sums + T.call_llvm_pure_intrin(sums_dtype, name, piece, weights)
    # a byte times a weight fits int16 exactly: 255 * 128 < 2**15
    return sums + T.Cast(sums_dtype, T.Cast(f"int16x{lanes}", piece) * weights)


#: saturating packs to half the width, by bytes of the result: int32 to int16, int16 to uint8
_PACKS = {
    64: ("llvm.x86.avx512.packssdw.512", "llvm.x86.avx512.packuswb.512"),
    32: ("llvm.x86.avx2.packssdw", "llvm.x86.avx2.packuswb"),
    16: ("llvm.x86.sse2.packssdw.128", "llvm.x86.sse2.packuswb.128"),
}


def narrowed(isa: Isa, pieces, width):
    """int32 pieces cut to 0..255, as uint8 in the order of channels."""
    if isa.group == 1 or isa.host_arch == "aarch64":
        # the pieces of 16 channels are in order
        codes = pieces[0] if len(pieces) == 1 else shuffled(pieces, range(width))
        within = T.max(T.min(codes, T.broadcast(T.int32(255), width)), T.broadcast(T.int32(0), width))
        return T.Cast(f"uint8x{width}", within)
    to_words, to_bytes = _PACKS[width]
    words = [T.call_llvm_pure_intrin(f"int16x{width // 2}", to_words, *pieces[first : first + 2]) for first in (0, 2)]
    return T.reinterpret(f"uint8x{width}", T.call_llvm_pure_intrin(f"int8x{width}", to_bytes, *words))


def rounded(ending: Ending, sums, factors, zero_point, lanes):
    """int32 sums as codes, the zero point added, not cut to 0..255 yet; `factors` as `endings.finish` takes them."""
    if ending.form == "plain":
        wide = f"int64x{lanes}"
        multiplier, shift = (T.Cast(wide, factor) for factor in factors)
        one = T.broadcast(T.int64(1), lanes)
        moved = T.shift_right(T.Cast(wide, sums) * multiplier + T.shift_left(one, shift - one), shift)
        # cut before the narrowing cast, which would wrap
        cut = T.max(T.min(moved, T.broadcast(T.int64(512), lanes)), T.broadcast(T.int64(-512), lanes))
        return T.Cast(f"int32x{lanes}", cut) + T.broadcast(zero_point, lanes)
    return rounded_in_float(sums, *factors)
