"""Dense convolution (and linear layers, as 1×1 convolutions): register tiles of pixels × vectors of channels.

The input is read where it lies; padding is the border of its frame.  Where kernel columns are neighbours, the bytes of
a kernel's row are one run, so that three channels do not waste a quarter of each dot product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from tvm.script import tirx as T
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as I

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.kernels.dot import dot
from ectoolkit.builders.cpu.kernels.endings import Ending, finish
from ectoolkit.builders.cpu.kernels.expressions import LANES
from ectoolkit.builders.cpu.kernels.frames import Frame
from ectoolkit.builders.cpu.kernels.pairs import finish_pair
from ectoolkit.builders.cpu.kernels.tiles import Tile


@dataclass(frozen=True)
class DenseSpec:
    """Shape and settings of one dense convolution; what differs between equal shapes comes in arrays.

    Attributes:
        source: of the input; its border is at least the padding.
        target: of the output.
        other: of an add's other operand.
        weight: ``(O, C, KH, KW)``.
        stride, padding, dilation: rows, columns.
        tile: register tile.
        ending: what becomes of the sums.
        shapes: of the arrays that hold input and output; 2-D in linear layers.
    """

    source: Frame
    target: Frame
    other: Frame | None
    weight: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    tile: Tile
    ending: Ending
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def strips(self) -> int:
        """Tiles that cover all pixels."""
        n, rows, columns, _ = self.target.shape
        return n * rows * -(-columns // self.tile.pixels)

    def in_one_row(self) -> DenseSpec:
        """The same with all pixels in one row, where a pixel's result needs that pixel only."""
        frames = [frame for frame in (self.source, self.target, self.other) if frame is not None]
        plain = (self.weight[2:], self.stride, self.padding) == ((1, 1), (1, 1), (0, 0))
        if not plain or not all(frame.bare for frame in frames):
            return self
        rows = [Frame((1, 1, prod(frame.shape[:3]), frame.shape[3])) for frame in frames]
        return replace(self, source=rows[0], target=rows[1], other=rows[2] if self.other else None)


@dataclass(frozen=True)
class Runs:
    """How the kernel's elements follow each other in memory.

    Attributes:
        taps: runs a pixel needs: one a kernel row, or one a kernel element.
        length: bytes of a run.
        steps: groups of input channels that a run has; the last may read beyond the run, where weights are 0.
    """

    taps: int
    length: int
    steps: int


def runs_of(weight: tuple[int, int, int, int], dilation: tuple[int, int], isa: Isa) -> Runs:
    """How a kernel is read."""
    _, c, kh, kw = weight
    taps, length = (kh, kw * c) if dilation[1] == 1 or kw == 1 else (kh * kw, c)
    return Runs(taps, length, -(-length // isa.group))


def packed_shape(weight: tuple[int, int, int, int], dilation: tuple[int, int], tile: Tile, isa: Isa) -> tuple[int, ...]:
    """Shape of packed weights: groups of channels × taps × steps × vectors × LANES × input channels of a step."""
    runs = runs_of(weight, dilation, isa)
    return (tile.groups(weight[0]), runs.taps, runs.steps, tile.vectors, LANES, isa.group)


def dense(spec: DenseSpec, isa: Isa):
    """The kernel: x, packed weights, bias, the ending's factors, settings, an add's other operand, to y."""
    ending, other, spec = spec.ending, spec.other, spec.in_one_row()
    n, rows, columns, o = spec.target.shape
    tile = spec.tile
    groups, across = tile.groups(o), -(-columns // tile.pixels)
    lanes = groups * tile.channels
    weights = packed_shape(spec.weight, spec.dilation, tile, isa)
    with IRBuilder() as builder:
        with I.prim_func(s_tir=True):
            I.func_name("dense")
            I.func_attr({"tirx.noalias": True})
            arguments = [("x", spec.shapes[0], isa.activation_dtype), ("w", weights, isa.weight_dtype)]
            arguments += [("bias", (lanes,), "int32")]
            arguments += [(f"factor{i}", (lanes,), dtype) for i, dtype in enumerate(ending.factors)]
            arguments += [("settings", (SETTINGS,), "int32")]
            if other is not None:
                arguments += [("other", other.stored, ending.other)]
            arguments += [("y", spec.shapes[1], ending.dtype)]
            flat = _flat_buffers(arguments)
            # small buffers of this scope are on the stack, and LLVM keeps them in registers; "local" is the heap
            sums = [
                [I.sblock_alloc_buffer((LANES,), "int32", scope="global") for _ in range(tile.vectors)]
                for _ in range(tile.pixels)
            ]
            work = _Work(spec, isa, flat, sums)
            with I.parallel(0, groups * n * rows * across) as job:
                strip = I.Bind(job // groups if tile.pixels_first else job % (n * rows * across))
                group = I.Bind(job % groups if tile.pixels_first else job // (n * rows * across))
                line = I.Bind(strip // across)
                # the last tile in a row begins early and makes some pixels twice rather than be narrower
                column = I.Bind(T.min(strip % across * tile.pixels, columns - tile.pixels))
                work.tile(group, strip, I.Bind(line // rows), I.Bind(line % rows), column)
    return builder.get()


#: bytes of a line of the cache
LINE = 64
#: numbers that every kernel gets, see `endings`
SETTINGS = 12


def _flat_buffers(arguments):
    """Declares the arguments, and gives one-dimensional views by name."""
    handles = [I.arg(name, I.handle()) for name, _, _ in arguments]
    shaped = [
        I.match_buffer(handle, shape, dtype) for handle, (_, shape, dtype) in zip(handles, arguments, strict=True)
    ]
    return {
        name: I.decl_buffer((prod(shape),), dtype, data=buffer.data)
        for buffer, (name, shape, dtype) in zip(shaped, arguments, strict=True)
    }


@dataclass(frozen=True)
class _Work:
    """Writes the statements of one tile."""

    spec: DenseSpec
    isa: Isa
    buffers: dict
    sums: list

    def tile(self, group, strip, image, row, column):
        """Sums from the bias on, then the ending, then the border where the tile lies next to it."""
        vectors = self.spec.tile.vectors
        for pixel in range(self.spec.tile.pixels):
            for vector in range(vectors):
                bias = self.buffers["bias"][T.Ramp((group * vectors + vector) * LANES, 1, LANES)]
                I.buffer_store(self.sums[pixel][vector], bias, [T.Ramp(0, 1, LANES)])
        self.accumulate(group, strip, image, row, column)
        begin = I.Bind(self.spec.tile.begin(group, self.spec.target.shape[3], T.min))
        for pixel in range(self.spec.tile.pixels):
            self.finish(group, begin, image, row, column, pixel)
        if not self.spec.target.bare:
            with I.If(group == 0), I.Then():
                self.border(image, row, column)

    def accumulate(self, group, strip, image, row, column):
        """Every run of bytes under the kernel times its weights."""
        spec, isa, tile = self.spec, self.isa, self.spec.tile
        runs = runs_of(spec.weight, spec.dilation, isa)
        (sh, sw), (ph, pw), (dh, dw) = spec.stride, spec.padding, spec.dilation
        columns_apart = runs.taps // spec.weight[2]
        step_size = tile.channels * isa.group
        with I.serial(0, runs.taps) as tap:
            down, right = tap // columns_apart * dh, tap % columns_apart * dw
            x_begin = I.Bind(spec.source.at(image, row * sh - ph + down, column * sw - pw + right))
            w_begin = I.Bind((group * runs.taps + tap) * (runs.steps * step_size))
            ahead = self.ahead(group, strip, runs, tap)
            with I.serial(0, runs.steps) as step:
                for line, begin in enumerate(ahead):
                    self.prefetch(begin + (step * len(ahead) + line) * self.line)
                for pixel in range(tile.pixels):
                    x_offset = x_begin + pixel * sw * spec.weight[1] + step * isa.group
                    for vector in range(tile.vectors):
                        for part in range(LANES // isa.lanes):
                            sums, at = self.sums[pixel][vector], T.Ramp(part * isa.lanes, 1, isa.lanes)
                            w_offset = w_begin + step * step_size + (vector * LANES + part * isa.lanes) * isa.group
                            total = dot(isa, sums[at], self.buffers["x"], x_offset, self.buffers["w"], w_offset)
                            I.buffer_store(sums, total, [at])

    @property
    def line(self):
        """Weights in a line of the cache."""
        return LINE // np.dtype(self.isa.weight_dtype).itemsize

    def ahead(self, group, strip, runs, tap):
        """Places in the next channels' weights, from which each step of a tap fetches one line on: these weights are
        too many for the caches to hold them all, and the first tile that needs them would wait for each."""
        spec = self.spec
        groups, strips = spec.tile.groups(spec.target.shape[3]), spec.strips
        if spec.tile.pixels_first or groups == 1:
            return []
        step_size = spec.tile.channels * self.isa.group
        whole = runs.taps * runs.steps
        lines = -(-step_size // (self.line * strips))
        # the first tiles fetch all; afterwards, and where nothing follows, what is there already is fetched again
        busy = T.And(strip < -(-step_size // (self.line * lines)), group + 1 < groups)
        begin = (group + 1) * (whole * step_size) + (strip * whole + tap * runs.steps) * (lines * self.line)
        return [I.Bind(T.Select(busy, begin, 0))] * lines

    def prefetch(self, place):
        """Ask for the line of weights at a place."""
        address = T.address_of(self.buffers["w"][place])
        # to be read, into the second-level cache, data
        I.evaluate(T.call_llvm_intrin("void", "llvm.prefetch.p0", address, T.int32(0), T.int32(2), T.int32(1)))

    def finish(self, group, begin, image, row, column, pixel):
        """A pixel's channels to the output, a vector or a pair of vectors at a time."""
        spec, ending, tile = self.spec, self.spec.ending, self.spec.tile
        together = 2 if tile.pairs else 1
        for first in range(0, tile.vectors, together):
            vectors = range(first, first + together)
            there = min(together * LANES, spec.target.shape[3] - first * LANES)
            other = None
            if spec.other is not None:
                place = spec.other.at(image, row, column + pixel) + begin + first * LANES
                other = _loaded(self.buffers["other"], place, there, together * LANES)
            sums = [self.sums[pixel][vector][T.Ramp(0, 1, LANES)] for vector in vectors]
            factors = [
                [
                    self.buffers[f"factor{i}"][T.Ramp((group * tile.vectors + vector) * LANES, 1, LANES)]
                    for i in range(len(ending.factors))
                ]
                for vector in vectors
            ]
            settings = self.buffers["settings"]
            if tile.pairs:
                result = finish_pair(ending, sums, factors, settings, other)
            else:
                result = finish(ending, sums[0], factors[0], settings, other)
            place = spec.target.at(image, row, column + pixel) + begin + first * LANES
            _store(self.buffers["y"], result, place, there, together * LANES)

    def border(self, image, row, column):
        """The code of real 0 left and right of the row, and in the rows above the first and below the last."""
        _, rows, columns, c = self.spec.target.shape
        top, left, bottom, right = self.spec.target.border
        _, _, wide, _ = self.spec.target.stored
        at = self.spec.target.at
        with I.If(column == 0), I.Then():
            self.zeros(at(image, row, -left), left * c)
            self.zeros(at(image, row, columns), right * c)
            if top:
                with I.If(row == 0), I.Then():
                    self.zeros(at(image, -top, -left), top * wide * c)
            if bottom:
                with I.If(row == rows - 1), I.Then():
                    self.zeros(at(image, rows, -left), bottom * wide * c)

    def zeros(self, place, count):
        if count:
            with I.serial(0, count) as i:
                I.buffer_store(self.buffers["y"], T.Cast("uint8", self.buffers["settings"][1]), [place + i])


def _loaded(buffer, place, there, lanes):
    """Some elements, of which only `there` may be read: the last is repeated for the others."""
    if there >= lanes:
        return buffer[T.Ramp(place, 1, lanes)]
    return T.Shuffle([buffer[place + min(lane, there - 1)] for lane in range(lanes)], list(range(lanes)))


def _store(buffer, vector, place, there, lanes):
    """The first elements of a vector."""
    if there >= lanes:
        I.buffer_store(buffer, vector, [T.Ramp(place, 1, lanes)])
        return
    kept = I.sblock_alloc_buffer((lanes,), buffer.dtype, scope="global")
    I.buffer_store(kept, vector, [T.Ramp(0, 1, lanes)])
    for lane in range(there):
        I.buffer_store(buffer, kept[lane], [place + lane])
