"""Dense convolutions and linear layers, alone or with the residual add that takes their sums."""

from __future__ import annotations

import numpy as np

from ectoolkit.builders.cpu.kernels import dense, frames, packing
from ectoolkit.builders.cpu.kernels.convolution import ConvSpec
from ectoolkit.builders.cpu.kernels.dense import SETTINGS, DenseSpec
from ectoolkit.builders.cpu.kernels.endings import MAGIC_BITS, Ending
from ectoolkit.builders.cpu.kernels.frames import Frame
from ectoolkit.builders.cpu.kernels.pairs import MOST_BELOW
from ectoolkit.builders.cpu.kernels.tiles import Tile, choose_tile
from ectoolkit.builders.cpu.lowering.context import Context, KernelCall, Lowered
from ectoolkit.builders.cpu.lowering.float_rounding import float_form, sums_reached
from ectoolkit.builders.cpu.lowering.frames import NONE, border_of
from ectoolkit.builders.cpu.lowering.fusing import second_factor
from ectoolkit.builders.cpu.lowering.rounding import FixedPoint, fixed_point
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node
from ectoolkit.core.ops import add as add_op
from ectoolkit.core.ops import precise_add as precise_add_op
from ectoolkit.core.ops.base import grid
from ectoolkit.core.ops.convolution import accumulator_ratio

#: what stands for a channel that is not there, by dtype of the array: a shift of 1 is harmless where one of 0 is not
_FILL = {"int32": 1, "float32": 0}


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
    other = None if add is None else _other(node, add)
    other_frame = None if other is None else Frame(conv.output, context.borders.get(other, NONE))
    needed = border_of(conv.x, conv.output[1:3], conv.weight, conv.stride, conv.padding, conv.dilation, context.isa)
    copied = context.isa.widens or any(need > has for need, has in zip(needed, given.border, strict=True))
    source = Frame(conv.x, needed) if copied else given
    ending, parameters = ending_of(context, node, conv, add)
    *_, settings = parameters
    below = int(parameters[settings][4]) - 32
    bare = all(frame.bare for frame in (source, target, other_frame) if frame is not None)
    pairs = context.isa.packs and ending.can_pair and 0 <= below <= MOST_BELOW
    tile = _tile(context, conv, bare, pairs)
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


def _other(node: Node, add: Node) -> str:
    """The operand of an add that is not the layer's sums."""
    return next(name for name in add.inputs if name != node.name)


def _tile(context: Context, conv: ConvSpec, bare: bool, pairs: bool) -> Tile:
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


def in_lanes(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    """An array with an element a channel in the order of a kernel's lanes."""
    return np.where(order >= 0, array[order], array.dtype.type(_FILL[array.dtype.name]))


def ending_of(
    context: Context, node: Node, conv: ConvSpec, add: Node | None = None, apart: bool = True
) -> tuple[Ending, dict[str, np.ndarray]]:
    """How the kernel ends, and its parameters in the kernel's order: bias, factors, settings.

    Args:
        context: of the graph.
        node: the layer with the weights.
        conv: its shapes.
        add: that takes the layer's sums.
        apart: whether the kernel can round even and odd lanes apart.
    """
    weight, bias = (context.graph.constants[name].astype(np.int64) for name in node.inputs[1:3])
    # kernels may take an offset off each activation, and so off the zero point
    zero_point = grid(context.value(node.inputs[0])).zero_point
    sums = weight.reshape(len(weight), -1).sum(axis=1)
    folded = bias - (zero_point - context.isa.offset) * sums
    bound = arithmetic.accumulator_bound(context.graph.constants[node.inputs[1]], bias)
    if add is None:
        ending, factors, rest = _own_ending(context, node, conv, bound, apart)
    elif add.op == "add":
        ending, factors, rest = _add_ending(context, add, bound)
    else:
        ending, factors, rest = _precise_add_ending(context, node, add, bound)
    if ending.kind == "codes" and context.isa.fuses:
        ending, moved, factors, rest = _in_float(context, node, ending, factors, rest)
        folded = folded + moved
    settings = np.zeros(SETTINGS, np.int32)
    settings[: 1 + len(rest)] = [zero_point, *rest]
    made = add or node
    named = {f"{made.name}:factor{i}": np.broadcast_to(array, bias.shape) for i, array in enumerate(factors)}
    return ending, {f"{made.name}:bias": folded.astype(np.int32), **named, f"{made.name}:settings": settings}


_Ending = tuple[Ending, list[np.ndarray], list[int]]


def _factors(multiplier: np.ndarray, shift: np.ndarray, fixed: FixedPoint | None) -> tuple[str, list[np.ndarray], int]:
    """The form of rounding, its arrays, and the shift of all channels."""
    if fixed is None:
        return "plain", [multiplier.astype(np.int32), shift.astype(np.int32)], 0
    return "high" if fixed.shift >= 32 else "low", [fixed.multiplier], fixed.shift


def _own_ending(context: Context, node: Node, conv: ConvSpec, bound: np.ndarray, apart: bool) -> _Ending:
    """Of a layer alone."""
    if conv.epilogue == "accumulator":
        return Ending("sums"), [], []
    output = context.value(node.name)
    quant = grid(output)
    low = quant.zero_point if node.attributes["relu"] else quant.quant_min
    ends = [quant.zero_point, low, quant.quant_max]
    ratio = accumulator_ratio(context.value(node.inputs[2]), output)
    if conv.epilogue == "host":
        return Ending("host"), [ratio.astype(np.float32)], ends
    pair = arithmetic.requantize_multiplier(ratio, node.name)
    fixed = fixed_point(*pair, quant.zero_point, (low, quant.quant_max), bound) if apart else None
    form, factors, shift = _factors(*pair, fixed)
    return Ending("codes", form), factors, [*ends, shift]


def _in_float(
    context: Context, node: Node, ending: Ending, factors: list[np.ndarray], rest: list[int]
) -> tuple[Ending, np.ndarray | int, list[np.ndarray], list[int]]:
    """The ending in float32 where that is proved right, otherwise as it is; and what is added to the bias."""
    weight, bias = (context.graph.constants[name] for name in node.inputs[1:3])
    zero_point = grid(context.value(node.inputs[0])).zero_point
    sums = weight.astype(np.int64).reshape(len(weight), -1).sum(axis=1)
    reached = sums_reached(weight, bias.astype(np.int64) - zero_point * sums)
    pair = arithmetic.requantize_multiplier(
        accumulator_ratio(context.value(node.inputs[2]), context.value(node.name)), node.name
    )
    form = float_form(*pair, rest[0], (rest[1], rest[2]), reached)
    if form is None:
        return ending, 0, factors, rest
    offset = (MAGIC_BITS + form.steps - rest[0]).astype(np.int32)
    return Ending("codes", "float"), form.shift, [form.factor, offset], rest[:3]


def _add_ending(context: Context, add: Node, bound: np.ndarray) -> _Ending:
    """Of a layer with the accelerator's add; the settings are in `kernels.endings`."""
    values = [context.value(name) for name in add.inputs]
    output = context.value(add.name)
    quant, relu = grid(output), bool(add.attributes["relu"])
    multiplier, shift = arithmetic.requantize_multiplier(add_op.main_ratio(values), add.name)
    pair = (np.broadcast_to(multiplier, bound.shape), np.broadcast_to(shift, bound.shape))
    fixed = fixed_point(*pair, 0, (arithmetic.ADD_MIN, arithmetic.ADD_MAX), bound)
    form, factors, common = _factors(*pair, fixed)
    factor = second_factor(context.graph, add)
    assert factor is not None, "such an add is not fused"
    settings = [
        quant.zero_point,
        quant.zero_point if relu else quant.quant_min,
        quant.quant_max,
        common,
        grid(values[1]).zero_point,
        add_op.relu_ceiling(quant.zero_point, add_op.output_ratio(values, output)),
        int(factor.view(np.int32)),
    ]
    return Ending("add", form, relu, values[1].spec.dtype), factors, settings


def _precise_add_ending(context: Context, node: Node, add: Node, bound: np.ndarray) -> _Ending:
    """Of a layer with an add that rounds once; the settings are in `kernels.endings`."""
    output, other = context.value(add.name), context.value(_other(node, add))
    quant, relu = grid(output), bool(add.attributes["relu"])
    fraction, limit = precise_add_op.FRACTION, precise_add_op.LIMIT
    half = (1 << (fraction - 1)) + (quant.zero_point << fraction)
    own, moved = (precise_add_op.term_multiplier(add, value, output) for value in (context.value(node.name), other))
    pair = (np.broadcast_to(own[0], bound.shape), np.broadcast_to(own[1], bound.shape))
    # the limit can't be met: then nothing needs to be cut
    within = (bound * (pair[0] * 2.0 ** -pair[1]) < limit - 1).all()
    form, factors, common = _factors(*pair, fixed_point(*pair, 0, None, bound) if within else None)
    settings = [
        quant.zero_point,
        quant.zero_point if relu else quant.quant_min,
        quant.quant_max,
        common,
        grid(other).zero_point,
        half,
        fraction,
        limit,
    ]
    factors += [np.asarray(array, np.int32) for array in moved]
    return Ending("precise_add", form, relu, other.spec.dtype), factors, settings
