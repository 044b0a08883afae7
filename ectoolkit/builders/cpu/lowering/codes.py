"""Borders and arithmetic on codes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ectoolkit.builders.cpu.kernels import borders, codes, elementwise, host_mean, moving, precise_add, spatial
from ectoolkit.builders.cpu.lowering.context import Context, KernelCall, Lowered, computed, single
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node
from ectoolkit.core.ops import add as add_op
from ectoolkit.core.ops import multiply as multiply_op
from ectoolkit.core.ops import precise_add as precise_add_op
from ectoolkit.core.ops.avg_pool import window_counts
from ectoolkit.core.ops.base import grid, pair
from ectoolkit.core.ops.global_avg_pool import truncating_mean
from ectoolkit.core.ops.host_mean import reciprocal_of_count
from ectoolkit.core.ops.mean import mean_ratio


def lower_quantize(context: Context, node: Node) -> Lowered:
    quant = grid(context.value(node.name))
    shape = context.shape(node.name)
    reciprocal = float(arithmetic.reciprocal_of(quant.scalar))
    arguments = (reciprocal, quant.zero_point, quant.quant_min, quant.quant_max)
    nchw = context.as_graph(node.inputs[0])
    return single(context, node, borders.quantize, spatial.as_nhwc(shape), shape, nchw, *arguments)


def lower_dequantize(context: Context, node: Node) -> Lowered:
    quant = grid(context.value(node.inputs[0]))
    shape = context.shape(node.name)
    arguments = (float(quant.scale), quant.zero_point)
    nchw = context.as_graph(node.name)
    made = context.value(node.name).spec.shape if nchw else shape
    template_arguments = (spatial.as_nhwc(shape), shape, nchw, *arguments)
    return Lowered([KernelCall(borders.dequantize, template_arguments, node.inputs, node.name, made, "float32")])


def lower_add(context: Context, node: Node) -> Lowered:
    values = [context.value(name) for name in node.inputs]
    output = context.value(node.name)
    ratio = add_op.output_ratio(values, output)
    multiplier, shift = arithmetic.requantize_multiplier(ratio, node.name)
    main_multiplier, main_shift = arithmetic.requantize_multiplier(add_op.main_ratio(values), node.name)
    zero_point = grid(output).zero_point
    has_codes = values[0].spec.dtype == "uint8"
    spec = elementwise.AddSpec(
        shape=context.shape(node.name),
        main_zero=grid(values[0]).zero_point,
        other_zero=grid(values[1]).zero_point,
        main=(int(main_multiplier), int(main_shift)) if has_codes else None,
        multiplier=int(multiplier),
        shift=int(shift),
        zero_point=zero_point,
        relu=bool(node.attributes["relu"]),
        ceiling=add_op.relu_ceiling(zero_point, ratio),
        low=grid(output).quant_min,
        high=grid(output).quant_max,
    )
    if has_codes:
        return single(context, node, elementwise.add_codes, spec)
    arrays = _of_channels(context, node, 0, main_multiplier, main_shift)
    lowered = single(context, node, elementwise.add_sums, spec, inputs=(node.inputs[0], *arrays, node.inputs[1]))
    return Lowered(lowered.calls, [], arrays)


def _of_channels(
    context: Context, node: Node, place: int, multiplier: np.ndarray, shift: np.ndarray
) -> dict[str, np.ndarray]:
    """Multiplier and shift of an operand that has sums, one a channel, as parameters."""
    channels = context.shape(node.inputs[place])[-1]
    named = ((f"{node.name}:multiplier{place}", multiplier), (f"{node.name}:shift{place}", shift))
    return {name: np.broadcast_to(array, channels).astype(np.int32) for name, array in named}


def lower_precise_add(context: Context, node: Node) -> Lowered:
    values = [context.value(name) for name in node.inputs]
    output = context.value(node.name)
    terms = [precise_add_op.term_multiplier(node, value, output) for value in values]
    quant = grid(output)
    first, second = (
        (int(term[0]), int(term[1])) if value.spec.dtype == "uint8" else None
        for value, term in zip(values, terms, strict=True)
    )
    spec = precise_add.PreciseAddSpec(
        shape=context.shape(node.name),
        zeros=(grid(values[0]).zero_point, grid(values[1]).zero_point),
        moves=(first, second),
        fraction=precise_add_op.FRACTION,
        limit=precise_add_op.LIMIT,
        zero_point=quant.zero_point,
        low=quant.zero_point if node.attributes["relu"] else quant.quant_min,
        high=quant.quant_max,
    )
    if first is not None and second is not None:
        return single(context, node, precise_add.precise_add_codes, spec)
    arrays: dict[str, np.ndarray] = {}
    inputs: list[str] = []
    for place, (name, term, move) in enumerate(zip(node.inputs, terms, spec.moves, strict=True)):
        own = _of_channels(context, node, place, *term)
        own = {label: array if move is None else array[:1] for label, array in own.items()}
        arrays |= own
        inputs += [name, *own]
    lowered = single(context, node, precise_add.precise_add, spec, inputs=tuple(inputs))
    return Lowered(lowered.calls, [], arrays)


def lower_relu(context: Context, node: Node) -> Lowered:
    return single(context, node, elementwise.relu, context.shape(node.name), grid(context.value(node.name)).zero_point)


def lower_multiply(context: Context, node: Node) -> Lowered:
    values = [context.value(name) for name in node.inputs]
    output = context.value(node.name)
    ratio = float(multiply_op.product_ratio(values, output))
    first, second = (value.spec.shape for value in values)
    quant = grid(output)
    zeros = (grid(values[0]).zero_point, grid(values[1]).zero_point)
    ends = (quant.zero_point, quant.quant_min, quant.quant_max)
    inputs = node.inputs
    if first == second:
        return single(context, node, elementwise.multiply, context.shape(node.name), zeros, ratio, ends)
    if len(first) == 4 and first == (*second[:2], 1, 1):
        first, second, inputs, zeros = second, first, inputs[::-1], zeros[::-1]
    if len(first) == 4 and second == (*first[:2], 1, 1):
        arguments = (context.shape(node.name), zeros, ratio, ends)
        return single(context, node, elementwise.scale_channels, *arguments, inputs=inputs)
    return computed(context, node, codes.multiply, *zeros, ratio, *ends)


def lower_mean(context: Context, node: Node) -> Lowered:
    x, output = context.value(node.inputs[0]), context.value(node.name)
    multiplier, shift = arithmetic.requantize_multiplier(mean_ratio(x, output), node.name)
    quant = grid(output)
    ends = (quant.zero_point, quant.quant_min, quant.quant_max)
    arguments = (context.shape(node.inputs[0]), grid(x).zero_point, int(multiplier), int(shift), *ends)
    return single(context, node, spatial.mean, *arguments)


def lower_global_avg_pool(context: Context, node: Node) -> Lowered:
    height, width = context.value(node.inputs[0]).spec.shape[2:]
    return single(
        context, node, spatial.global_avg_pool, context.shape(node.inputs[0]), *truncating_mean(height * width)
    )


def lower_host_mean(context: Context, node: Node) -> Lowered:
    quant = grid(context.value(node.name))
    height, width = context.value(node.inputs[0]).spec.shape[2:]
    reciprocal = float(reciprocal_of_count(height * width))
    arguments = (float(quant.scalar), quant.zero_point, reciprocal, quant.quant_min, quant.quant_max)
    return single(context, node, host_mean.host_mean, context.shape(node.inputs[0]), *arguments)


def lower_avg_pool2d(context: Context, node: Node) -> Lowered:
    window = tuple(pair(node, name) for name in ("kernel", "stride", "padding"))
    zero = grid(context.value(node.name)).zero_point if node.attributes["count_frame"] else 0
    extents, size = (context.value(name).spec.shape[2:] for name in (node.inputs[0], node.name))
    counts = {f"{node.name}:counts": window_counts(node, extents, size).astype(np.int32)}
    return computed(context, node, codes.avg_pool2d, window, zero, tables=counts)


def lower_lookup(context: Context, node: Node) -> Lowered:
    return single(context, node, moving.lookup, context.shape(node.name))


RULES: dict[str, Callable[[Context, Node], Lowered]] = {
    "add": lower_add,
    "avg_pool2d": lower_avg_pool2d,
    "dequantize": lower_dequantize,
    "global_avg_pool": lower_global_avg_pool,
    "host_mean": lower_host_mean,
    "lookup": lower_lookup,
    "mean": lower_mean,
    "multiply": lower_multiply,
    "precise_add": lower_precise_add,
    "quantize": lower_quantize,
    "relu": lower_relu,
}
