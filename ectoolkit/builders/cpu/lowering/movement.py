"""Layers that only move or select elements: kernels of their own for codes, computed ones for real numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ectoolkit.builders.cpu.kernels import joining, moving, real, spatial
from ectoolkit.builders.cpu.lowering.absorbing import shuffle_steps
from ectoolkit.builders.cpu.lowering.context import (
    Context,
    Lowered,
    computed,
    inside_axis,
    single,
)
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node
from ectoolkit.core.ops import concat as concat_op
from ectoolkit.core.ops.base import grid, pair, whole, wholes
from ectoolkit.core.ops.movement import places_of


def _is_real(context: Context, node: Node) -> bool:
    """True where a layer that moves elements is given real numbers."""
    return context.value(node.name).spec.dtype == "float32"


def lower_concat(context: Context, node: Node) -> Lowered:
    if _is_real(context, node):
        return computed(context, node, real.concat, whole(node, "axis"))
    output = context.value(node.name)
    axis = inside_axis(whole(node, "axis"), len(output.spec.shape))
    factors = []
    for value in (context.value(name) for name in node.inputs):
        multiplier, shift = arithmetic.requantize_multiplier(concat_op.input_ratio(value, output), node.name)
        same = grid(value) == grid(output)
        factors.append(None if same else (grid(value).zero_point, int(multiplier), int(shift)))
    quant = grid(output)
    ends = (quant.zero_point, quant.quant_min, quant.quant_max)
    shapes = tuple(context.shape(name) for name in node.inputs)
    return single(context, node, joining.concat, shapes, axis, tuple(factors), *ends)


def lower_max_pool(context: Context, node: Node) -> Lowered:
    settings = [pair(node, name) for name in ("kernel", "stride", "padding", "dilation")]
    if _is_real(context, node):
        return computed(context, node, real.max_pool, *settings)
    return single(context, node, spatial.max_pool, context.shape(node.inputs[0]), context.shape(node.name), *settings)


def lower_upsample(context: Context, node: Node) -> Lowered:
    if _is_real(context, node):
        return computed(context, node, real.upsample_nearest)
    template = spatial.upsample_bilinear if node.op == "upsample_bilinear" else spatial.upsample_nearest
    return single(context, node, template, context.shape(node.inputs[0]))


def lower_reshape(context: Context, node: Node) -> Lowered:
    if _is_real(context, node):
        return computed(context, node, real.reshape)
    steps = shuffle_steps(context.graph, node)
    if steps:
        given, groups = steps[0].inputs[0], context.value(steps[0].name).spec.shape[1]
        return single(context, node, moving.shuffle_channels, context.shape(given), groups, inputs=(given,))
    return single(context, node, spatial.reshape, context.shape(node.inputs[0]), context.shape(node.name))


def lower_gather(context: Context, node: Node) -> Lowered:
    places = places_of(node)
    tables = {f"{node.name}:axis{axis}": np.array(along, np.int32) for axis, along in places.items()}
    return computed(context, node, real.gather, tuple(places), tables=tables)


def lower_pad(context: Context, node: Node) -> Lowered:
    top, _, left, _ = wholes(node, "amounts")
    if _is_real(context, node):
        return computed(context, node, real.pad, top, left)
    shapes = (context.shape(node.inputs[0]), context.shape(node.name))
    return single(context, node, moving.pad, *shapes, top, left, grid(context.value(node.name)).zero_point)


def lower_slice(context: Context, node: Node) -> Lowered:
    if _is_real(context, node):
        return computed(context, node, real.slice_axis, whole(node, "axis"), whole(node, "begin"))
    shape = context.shape(node.inputs[0])
    axis = inside_axis(whole(node, "axis"), len(shape))
    return single(context, node, moving.slice_axis, shape, axis, node.attributes["begin"], node.attributes["end"])


def lower_transpose(context: Context, node: Node) -> Lowered:
    order = wholes(node, "order")
    if _is_real(context, node):
        return computed(context, node, real.transpose, order)
    shape = context.shape(node.inputs[0])
    if len(shape) == 4:  # both sides are NHWC inside
        order = tuple(inside_axis(order[axis], 4) for axis in (0, 2, 3, 1))
    return single(context, node, moving.transpose, shape, order)


RULES: dict[str, Callable[[Context, Node], Lowered]] = {
    "concat": lower_concat,
    "gather": lower_gather,
    "max_pool2d": lower_max_pool,
    "pad": lower_pad,
    "reshape": lower_reshape,
    "slice": lower_slice,
    "transpose": lower_transpose,
    "upsample_bilinear": lower_upsample,
    "upsample_nearest": lower_upsample,
}
