"""Dense convolutions and linear layers, alone or with the residual add that takes their sums."""

from __future__ import annotations

import numpy as np

from ectoolkit.builders.cpu.kernels import dense, frames, packing
from ectoolkit.builders.cpu.kernels.convolution import ConvSpec
from ectoolkit.builders.cpu.kernels.dense import SETTINGS, DenseSpec
from ectoolkit.builders.cpu.kernels.endings import Ending
from ectoolkit.builders.cpu.kernels.frames import Frame
from ectoolkit.builders.cpu.kernels.pairs import MOST_BELOW
from ectoolkit.builders.cpu.kernels.tiles import Tile, choose_tile
from ectoolkit.builders.cpu.lowering.context import Context, KernelCall, Lowered
from ectoolkit.builders.cpu.lowering.endings import ending_of, in_lanes, other_operand
from ectoolkit.builders.cpu.lowering.frames import NONE, border_of
from ectoolkit.core.graph import Node


def lower_dense(context: Context, node: Node, conv: ConvSpec, x: str, made: str, add: Node | None = None) -> Lowered:
    """One kernel, before it a copy of the input where the kernel cannot read it as it lies.

    Args:
        context: of the graph.
        node: the layer with the weights.
        conv: its shapes.
        x: what it reads.
        made: what it makes; the add's value where there is one.
        add: that takes the layer's sums.
    """
    given = Frame(conv.x, context.borders.get(x, NONE))
    target = Frame(conv.output, context.borders.get(made, NONE))
    other = None if add is None else other_operand(node, add)
    other_frame = None if other is None else Frame(conv.output, context.borders.get(other, NONE))
    needed = border_of(conv.x, conv.output[1:3], conv.weight, conv.stride, conv.padding, conv.dilation, context.isa)
    copied = context.isa.widens or any(need > has for need, has in zip(needed, given.border, strict=True))
    source = Frame(conv.x, needed) if copied else given
    ending, parameters = ending_of(context, node, conv, add)
    *_, settings = parameters
    bare = all(frame.bare for frame in (source, target, other_frame) if frame is not None)
    tile = _tile(context, conv, bare, _pairs(context, ending, int(parameters[settings][4])))
    parameters = {
        name: array if name.endswith(":settings") else in_lanes(array, tile.order(conv.output[3]))
        for name, array in parameters.items()
    }
    shapes = (source.stored if copied else conv.shaped(source.stored), conv.shaped(target.stored))
    spec = DenseSpec(
        source, target, other_frame, conv.weight, conv.stride, conv.padding, conv.dilation, tile, ending, shapes
    )
    packed = _packed(context, node, conv, tile)
    calls = []
    if copied:
        framed, shape = f"{node.name}:framed", conv.shaped(given.stored)
        arguments = (shape, SETTINGS, given, source, context.isa)
        dtype = context.isa.activation_dtype
        calls.append(KernelCall(frames.frame, arguments, (x, settings), framed, source.stored, dtype))
        x = framed
    reads = (x, packed.output, *parameters, *([other] if other else []))
    calls.append(KernelCall(dense.dense, (spec, context.isa), reads, made, shapes[1], ending.dtype))
    return Lowered(calls, [packed], parameters)


def _pairs(context: Context, ending: Ending, shift: int) -> str:
    """How two vectors may end together: `Tile.pairs`."""
    if not context.isa.packs or not ending.can_pair:
        return ""
    if ending.form == "float" or ending.kind == "precise_add":
        return "straight"
    return "apart" if shift - 32 <= MOST_BELOW else ""


def _tile(context: Context, conv: ConvSpec, bare: bool, pairs: str) -> Tile:
    n, rows, columns, channels = conv.output
    plain = (conv.weight[2:], conv.stride, conv.padding) == ((1, 1), (1, 1), (0, 0))
    size = int(np.prod(conv.weight)) * np.dtype(context.isa.weight_dtype).itemsize
    runs = dense.runs_of(conv.weight, conv.dilation, context.isa)
    pixels = n * rows * columns if plain and bare else columns
    return choose_tile(pixels, channels, runs.taps * runs.steps, size, context.isa, pairs)


def _packed(context: Context, node: Node, conv: ConvSpec, tile: Tile) -> KernelCall:
    weight = node.inputs[1]
    shape = dense.packed_shape(conv.weight, conv.dilation, tile, context.isa)
    arguments = (conv.weight, conv.rank, conv.dilation, tile, context.isa)
    # named for the layer: two layers with one weight may have two tiles
    name = f"{node.name}:packed"
    return KernelCall(packing.pack_dense, arguments, (weight,), name, shape, context.isa.weight_dtype)
