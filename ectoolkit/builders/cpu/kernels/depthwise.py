"""Depthwise convolution: every channel with its own kernel.

The rows of the kernel are what the dot product sums: `isa.group` input rows are interleaved (`lanes`), in a buffer as
wide as the framed input, which stays in the first-level cache; then each column of the kernel is one dot product.
Where the group has places to spare, several output rows use one buffer, with their weights moved by a row: with groups
of four and a 3×3 kernel, two.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm.script import tirx as T
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as I

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.kernels import lanes
from ectoolkit.builders.cpu.kernels.convolution import ConvSpec
from ectoolkit.builders.cpu.kernels.dense import SETTINGS
from ectoolkit.builders.cpu.kernels.endings import Ending


@dataclass(frozen=True)
class Plan:
    """How a depthwise convolution is cut.

    Attributes:
        steps: dot products that a column of the kernel takes.
        band: output rows that share one buffer.
        bands: of them in an image.
        tile: output columns computed at once.
        wide: columns of the buffer.
        blocks: of channels.
    """

    steps: int
    band: int
    bands: int
    tile: int
    wide: int
    blocks: tuple[lanes.Block, ...]


def plan(spec: ConvSpec, isa: Isa) -> Plan:
    """See `Plan`."""
    _, rows, columns, channels = spec.output
    kh, kw = spec.weight[2:]
    steps = -(-kh // isa.group)
    spare = (steps * isa.group - kh) // spec.stride[0] if spec.dilation[0] == 1 else 0
    band = min(spare + 1, rows)
    # longer kernels share more of the buffer's vectors between neighbours; more sums than that leave the registers
    tile = min(2 if kw <= 3 or isa.registers < 32 else 4, columns)
    wide = (columns - 1) * spec.stride[1] + (kw - 1) * spec.dilation[1] + 1
    return Plan(steps, band, -(-rows // band), tile, wide, tuple(lanes.blocks_of(channels, isa)))


def weights_a_lane(spec: ConvSpec, isa: Isa) -> int:
    """Packed weights of each lane."""
    made = plan(spec, isa)
    return made.band * made.steps * spec.weight[3] * isa.group


def depthwise(spec: ConvSpec, ending: Ending, isa: Isa):
    """The kernel of a convolution with a group a channel.

    It takes x, weights by `pack_weights`, the bias and the ending's arrays in the order of `lanes.order_of`, settings
    as for `endings.finish`, and y.
    """
    made = plan(spec, isa)
    widest = max(block.width for block in made.blocks)
    packed = lanes.packed_lanes(spec.x[3], isa)
    with IRBuilder() as builder:
        with I.prim_func(s_tir=True):
            I.func_name("depthwise")
            I.func_attr({"tirx.noalias": True})
            arguments = [
                (spec.x, "uint8"),
                ((packed * weights_a_lane(spec, isa),), lanes.weight_dtype(isa)),
                *(((packed,), dtype) for dtype in ("int32", *ending.factors)),
                ((SETTINGS,), "int32"),
                (spec.output, ending.dtype),
            ]
            handles = [I.arg(f"a{place}", I.handle()) for place in range(len(arguments))]
            shaped = [I.match_buffer(handle, *argument) for handle, argument in zip(handles, arguments, strict=True)]
            buffers = [flat(buffer) for buffer in shaped]
            buffer_size = made.wide * made.steps * isa.group * widest
            rows = I.sblock_alloc_buffer((buffer_size,), lanes.operand_dtype(isa))
            kernel = _Kernel(spec, ending, isa, made, buffers, rows)
            with I.parallel(0, spec.x[0] * made.bands * len(made.blocks)) as job:
                kernel.run(I.bind(job // len(made.blocks)), I.bind(job % len(made.blocks)))
    return builder.get()


class _Kernel:
    """Writes the statements for one block of channels in one band of rows."""

    def __init__(self, spec: ConvSpec, ending: Ending, isa: Isa, made: Plan, buffers, rows) -> None:
        self.spec, self.ending, self.isa, self.plan, self.rows = spec, ending, isa, made, rows
        self.x, self.weights, self.bias, *self.factors, self.settings, self.y = buffers
        self.pieces = lanes.pieces_of(isa)

    def run(self, place, index) -> None:
        """The band is ``place`` counted over all images; the block's width decides the code."""
        image, band = I.bind(place // self.plan.bands), I.bind(place % self.plan.bands)
        blocks = self.plan.blocks
        wide = [block for block in blocks if block.width == blocks[0].width]
        narrow = blocks[len(wide) :]
        if not narrow:
            self._blocks(wide, index, image, band)
            return
        with I.If(index < len(wide)):
            with I.Then():
                self._blocks(wide, index, image, band)
            with I.Else():
                self._blocks(narrow, index - len(wide), image, band)

    def _blocks(self, blocks, index, image, band) -> None:
        first, width = blocks[0], blocks[0].width
        offset = I.bind(T.min(first.offset + index * width, max(self.spec.x[3] - width, 0)))
        packed = I.bind(first.packed + index * width)
        self._fill(width, offset, image, band)
        rows = self.spec.output[1]
        left = rows - band * self.plan.band
        with I.serial(0, self.plan.band if rows % self.plan.band == 0 else T.min(left, self.plan.band)) as row:
            self._row(width, offset, packed, image, band * self.plan.band + row, row)

    # --- the buffer --------------------------------------------------------------------------------------------

    def _fill(self, width, offset, image, band) -> None:
        """Interleaved input rows, with the frame of zero points around them."""
        spec, group = self.spec, self.isa.group
        (ph, pw), wide = spec.padding, self.plan.wide
        zero_point = I.bind(lanes.taken(self.isa, T.broadcast(T.Cast("uint8", self.settings[0]), width), width))
        nothing = T.broadcast(T.uint8(0), width)
        _, h, w, c = spec.x
        before = min(pw, wide)
        inside = max(min(w, wide - pw), 0)
        for step in range(self.plan.steps):
            # what lies beyond the last row that any output row of the band needs has weight 0
            used = [slot for slot in range(step * group, (step + 1) * group) if slot < self._slots]
            sources = []
            for slot in used:
                row = I.bind(band * (self.plan.band * spec.stride[0]) + slot * spec.dilation[0] - ph)
                start = I.bind((image * h + T.max(T.min(row, h - 1), 0)) * w * c + offset)
                sources.append((I.bind(T.And(row >= 0, row < h)), start))
            frame = [zero_point] * len(used) + [nothing] * (group - len(used))
            for first, count in ((0, before), (before + inside, wide - before - inside)):
                if count > 0:
                    with I.serial(0, count) as column:
                        self._put(step, first + column, frame, width)
            if inside:
                with I.serial(0, inside) as column:
                    rows = [
                        I.bind(T.Select(T.broadcast(valid, width), self._read(start + column * c, width), zero_point))
                        for valid, start in sources
                    ]
                    self._put(step, before + column, rows + frame[len(used) :], width)

    @property
    def _slots(self) -> int:
        return self.spec.weight[2] + (self.plan.band - 1) * self.spec.stride[0]

    def _read(self, start, width):
        channels = self.spec.x[3]
        if channels >= width:
            return lanes.taken(self.isa, self.x[T.Ramp(start, 1, width)], width)
        few = I.sblock_alloc_buffer((width,), "uint8", scope="local")
        I.buffer_store(few, T.broadcast(T.uint8(0), width), [T.Ramp(0, 1, width)])
        with I.serial(0, channels) as channel:
            I.buffer_store(few, self.x[start + channel], [channel])
        return lanes.taken(self.isa, few[T.Ramp(0, 1, width)], width)

    def _put(self, step, column, rows, width) -> None:
        size = width * self.isa.group // self.pieces
        for place, piece in enumerate(lanes.operands(self.isa, rows, width)):
            where = ((column * self.plan.steps + step) * self.pieces + place) * size
            I.buffer_store(self.rows, piece, [T.Ramp(where, 1, size)])

    # --- the sums ----------------------------------------------------------------------------------------------

    def _row(self, width, offset, packed, image, row, in_band) -> None:
        """One output row, tile by tile; the last begins early and computes some columns twice."""
        _, rows, columns, channels = self.spec.output
        tile = self.plan.tile
        weights = I.bind(packed * weights_a_lane(self.spec, self.isa) + in_band * (self._weights_a_row * width))
        with I.serial(0, -(-columns // tile)) as index:
            column = I.bind(T.min(index * tile, columns - tile) if columns % tile else index * tile)
            for place, sums in self._tile(width, packed, weights, column):
                where = ((image * rows + row) * columns + column + place) * channels + offset
                self._store(width, packed, sums, where)

    @property
    def _weights_a_row(self) -> int:
        return self.plan.steps * self.spec.weight[3] * self.isa.group

    def _tile(self, width, packed, weights, column):
        """Yields each column of a tile with its sums as soon as they are complete."""
        stride, step_width = self.spec.stride[1], self.spec.dilation[1]
        kw, each = self.spec.weight[3], width // self.pieces
        size = each * self.isa.group
        taps: dict[int, list[tuple[int, int]]] = {}
        for place in range(self.plan.tile):
            for tap in range(kw):
                taps.setdefault(place * stride + tap * step_width, []).append((place, tap))
        bias = [self.bias[T.Ramp(packed + piece * each, 1, each)] for piece in range(self.pieces)]
        sums = [list(bias) for _ in range(self.plan.tile)]
        for source in sorted(taps):
            for step in range(self.plan.steps):
                for piece in range(self.pieces):
                    at = (((column * stride + source) * self.plan.steps + step) * self.pieces + piece) * size
                    operand = I.bind(self.rows[T.Ramp(at, 1, size)])
                    for place, tap in taps[source]:
                        at = weights + ((step * kw + tap) * self.pieces + piece) * size
                        factor = self.weights[T.Ramp(at, 1, size)]
                        sums[place][piece] = I.bind(lanes.dot(self.isa, sums[place][piece], operand, factor, width))
            for place, tap in taps[source]:
                if tap == kw - 1:
                    yield place, sums[place]

    def _store(self, width, packed, sums, where) -> None:
        if self.ending.kind == "sums":
            self._store_sums(width, sums, where)
            return
        each = width // self.pieces
        moved = []
        for piece, total in enumerate(sums):
            at = T.Ramp(packed + piece * each, 1, each)
            factors = [factor[at] for factor in self.factors]
            moved.append(I.bind(lanes.rounded(self.ending, total, factors, self.settings[1], each)))
        codes = lanes.narrowed(self.isa, moved, width)
        low, high = (T.broadcast(T.Cast("uint8", self.settings[end]), width) for end in (2, 3))
        self._write(I.bind(T.max(T.min(codes, high), low)), width, where)

    def _store_sums(self, width, sums, where) -> None:
        """int32, four channels at a time where the pieces hold them out of order."""
        if self.isa.group == 1:
            self._write(sums[0], width, where)
            return
        each = width // self.pieces
        order = [0] * width
        for lane in range(width):
            order[lanes.channel_of(self.isa, width, lane)] = lane
        for first in range(0, width, 4):
            piece, lane = divmod(order[first], each)
            if first < self.spec.x[3]:
                four = lanes.shuffled([sums[piece]], range(lane, lane + 4))
                self._write(four, 4, where + first, max(self.spec.x[3] - first, 0))

    def _write(self, vector, width, where, left=None) -> None:
        left = self.spec.x[3] if left is None else left
        if left >= width:
            I.buffer_store(self.y, vector, [T.Ramp(where, 1, width)])
            return
        few = I.sblock_alloc_buffer((width,), self.ending.dtype, scope="local")
        I.buffer_store(few, vector, [T.Ramp(0, 1, width)])
        with I.serial(0, left) as channel:
            I.buffer_store(self.y, few[channel], [where + channel])


def flat(buffer):
    """The same memory with one axis."""
    size = 1
    for extent in buffer.shape:
        size *= int(extent)
    return I.decl_buffer((size,), buffer.dtype, data=buffer.data)


# --- packing -------------------------------------------------------------------------------------------------------


def pack_weights(spec: ConvSpec, isa: Isa):
    """int8 ``(C, 1, KH, KW)`` to what `depthwise` reads: blocks × rows of a band × steps × KW × lanes × group."""
    made, (channels, _, kh, kw) = plan(spec, isa), spec.weight
    group, dtype = isa.group, lanes.weight_dtype(isa)
    each = weights_a_lane(spec, isa)
    with IRBuilder() as builder:
        with I.prim_func(s_tir=True):
            I.func_name("pack_depthwise")
            I.func_attr({"tirx.noalias": True})
            given, packed = I.arg("w", I.handle()), I.arg("p", I.handle())
            shaped = I.match_buffer(given, spec.weight, "int8")
            result = I.match_buffer(packed, (lanes.packed_lanes(channels, isa) * each,), dtype)
            weights = flat(shaped)
            I.sblock_alloc_buffer((1,), "uint8", scope="local")
            for block in made.blocks:
                with I.grid(made.band, made.steps, kw, block.width, group) as (row, step, column, lane, member):
                    channel = block.offset + _channel(isa, block.width, lane)
                    tap = step * group + member - row * spec.stride[0]
                    here = T.And(T.And(tap >= 0, tap < kh), channel < channels)
                    source = (T.min(channel, channels - 1) * kh + T.max(T.min(tap, kh - 1), 0)) * kw + column
                    at = (((row * made.steps + step) * kw + column) * block.width + lane) * group + member
                    value = T.Select(here, T.Cast(dtype, weights[source]), T.Cast(dtype, 0))
                    I.buffer_store(result, value, [block.packed * each + at])
    return builder.get()


def _channel(isa: Isa, width: int, lane):
    """`lanes.channel_of` as an expression."""
    if isa.group == 1:
        return lane
    each = width // lanes.PIECES
    return lane % each // 4 * 16 + lane // each * 4 + lane % 4
