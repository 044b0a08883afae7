"""Layers that only move or select elements: kernels of their own for codes, computed ones for real numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ectoolkit.builders.cpu.kernels import elementwise, moving, real, spatial
from ectoolkit.builders.cpu.lowering.context import (
    Context,
    KernelCall,
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
    calls, parts = [], []
    for position, name in enumerate(node.inputs):
        value = context.value(name)
        if grid(value) == grid(output):
            parts.append((name, context.shape(name)))
            continue
        ratio = arithmetic.requantize_multiplier(concat_op.input_ratio(value, output), node.name)
        quant = grid(output)
        ends = (quant.zero_point, quant.quant_min, quant.quant_max)
        arguments = (grid(value).zero_point, int(ratio[0]), int(ratio[1]), *ends)
        moved, shape = f"{node.name}:input{position}", context.shape(name)
        calls.append(KernelCall(elementwise.rescale, (shape, *arguments), (name,), moved, shape, "uint8"))
        parts.append((moved, shape))
    name, shape = parts[0]
    for position, (other, other_shape) in enumerate(parts[1:], 1):
        joined = (*shape[:axis], shape[axis] + other_shape[axis], *shape[axis + 1 :])
        target = node.name if position == len(parts) - 1 else f"{node.name}:joined{position}"
        calls.append(KernelCall(elementwise.join, ((shape, other_shape), axis), (name, other), target, joined, "uint8"))
        name, shape = target, joined
    if len(parts) == 1:
        calls.append(KernelCall(spatial.reshape, (shape, shape), (name,), node.name, shape, "uint8"))
    return Lowered(calls)


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
