"""Layers with weights: convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ectoolkit.builders.cpu.kernels import convolution, grouped, moving, packing, spatial
from ectoolkit.builders.cpu.kernels.expressions import LANES
from ectoolkit.builders.cpu.lowering.absorbing import source_of
from ectoolkit.builders.cpu.lowering.context import Context, KernelCall, Lowered
from ectoolkit.builders.cpu.lowering.dense import lower_dense
from ectoolkit.builders.cpu.lowering.depthwise import lower_depthwise
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node
from ectoolkit.core.ops.base import grid, pair, whole
from ectoolkit.core.ops.conv_transpose import frame_of
from ectoolkit.core.ops.convolution import accumulator_ratio


def lower_conv2d(context: Context, node: Node) -> Lowered:
    source, _ = source_of(context.graph, node, context.absorbed)
    return _convolution(context, node, _spec(context, node), source, node.name)


def _spec(context: Context, node: Node) -> convolution.ConvSpec:
    weight = context.value(node.inputs[1])
    output = context.value(node.name)
    codes = output.spec.dtype == "uint8"
    source, (above, below, left, right) = source_of(context.graph, node, context.absorbed)
    rows, columns = pair(node, "padding")
    return convolution.ConvSpec(
        x=context.shape(source),  # type: ignore[arg-type]
        weight=weight.spec.shape,  # type: ignore[arg-type]
        stride=pair(node, "stride"),
        padding=(rows + above, columns + left),
        dilation=pair(node, "dilation"),
        groups=whole(node, "groups"),
        rank=4,
        epilogue="codes" if codes else "accumulator",
        padding_after=(rows + below, columns + right),
    )


def lower_fused(context: Context, node: Node, add: Node) -> Lowered:
    """A convolution together with the add that takes its sums."""
    source, _ = source_of(context.graph, node, context.absorbed)
    return lower_dense(context, node, _spec(context, node), source, add.name, add)


def lower_linear(context: Context, node: Node) -> Lowered:
    shape = context.value(node.inputs[0]).spec.shape
    if len(shape) != 2:
        return _linear_of_many(context, node, shape)
    return _linear(context, node, shape[0], node.inputs[0], node.name)


def _linear_of_many(context: Context, node: Node, shape: tuple[int, ...]) -> Lowered:
    """One on ``(N, ..., I)``: everything but the last axis counts as images."""
    rows, features = int(np.prod(shape[:-1])), shape[-1]
    channels = context.value(node.name).spec.shape[-1]
    before, after = context.shape(node.inputs[0]), context.shape(node.name)
    flat, made = f"{node.name}:flat", f"{node.name}:rows"
    to_rows = KernelCall(spatial.reshape, (before, (rows, features)), node.inputs[:1], flat, (rows, features), "uint8")
    back = KernelCall(spatial.reshape, ((rows, channels), after), (made,), node.name, after, "uint8")
    lowered = _linear(context, node, rows, flat, made)
    return Lowered([to_rows, *lowered.calls, back], lowered.prepare, lowered.parameters)


def _linear(context: Context, node: Node, rows: int, x: str, made: str) -> Lowered:
    channels, features = context.value(node.inputs[1]).spec.shape
    spec = convolution.ConvSpec(
        x=(rows, 1, 1, features),
        weight=(channels, features, 1, 1),
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        groups=1,
        rank=2,
        epilogue="host",
    )
    return _convolution(context, node, spec, x, made)


def _grids(context: Context, node: Node) -> np.ndarray:
    """int32 ``(4,)``: the input's code of real 0; the output's, its smallest and largest."""
    first, quant = grid(context.value(node.inputs[0])), grid(context.value(node.name))
    if context.value(node.name).spec.dtype == "int32":
        return np.array([first.zero_point, 0, 0, 255], np.int32)
    low = quant.zero_point if node.attributes["relu"] else quant.quant_min
    return np.array([first.zero_point, quant.zero_point, low, quant.quant_max], np.int32)


def lower_conv_transpose2d(context: Context, node: Node) -> Lowered:
    """The elements moved apart, in a frame of real zeros, then a convolution without padding."""
    quant = grid(context.value(node.inputs[0]))
    weight = context.value(node.inputs[1]).spec.shape
    frame = frame_of(node, (weight[2], weight[3]))
    n, h, w, c = context.shape(node.inputs[0])
    (sh, sw), (top, bottom), (left, right) = pair(node, "stride"), *frame
    spread_shape = (n, (h - 1) * sh + 1 + top + bottom, (w - 1) * sw + 1 + left + right, c)
    spread = f"{node.name}:spread"
    arguments = ((n, h, w, c), spread_shape, (sh, sw), top, left, quant.zero_point)
    moved = KernelCall(moving.spread, arguments, node.inputs[:1], spread, spread_shape, "uint8")
    spec = convolution.ConvSpec(
        x=spread_shape,
        weight=weight,  # type: ignore[arg-type]
        stride=(1, 1),
        padding=(0, 0),
        dilation=pair(node, "dilation"),
        groups=whole(node, "groups"),
        rank=4,
        epilogue="codes",
    )
    lowered = _convolution(context, node, spec, spread, node.name)
    return Lowered([moved, *lowered.calls], lowered.prepare, lowered.parameters)


def _convolution(context: Context, node: Node, spec: convolution.ConvSpec, x: str, made: str) -> Lowered:
    """The kernel that fits the groups, from `x` to `made`."""
    if spec.groups == 1:
        return lower_dense(context, node, spec, x, made)
    if spec.weight[1] == 1 and spec.groups == spec.weight[0]:
        return lower_depthwise(context, node, spec, x, made)
    weight = node.inputs[1]
    factors, parameters = _epilogue_arrays(context, node, spec)
    grids = f"{node.name}:grids"
    parameters[grids] = _grids(context, node)
    reads = (x, weight, *factors, grids)
    call = KernelCall(grouped.grouped, (spec,), reads, made, spec.shaped(spec.output), spec.output_dtype)
    return Lowered([call], [], parameters)


def _epilogue_arrays(
    context: Context, node: Node, spec: convolution.ConvSpec
) -> tuple[tuple[str, str, str], dict[str, np.ndarray]]:
    """The three per-channel arrays of a grouped convolution's end, padded to LANES; unused places repeat the bias."""
    weight = context.graph.constants[node.inputs[1]].astype(np.int64)
    bias = context.graph.constants[node.inputs[2]].astype(np.int64)
    folded = bias - grid(context.value(node.inputs[0])).zero_point * weight.reshape(len(weight), -1).sum(axis=1)
    bias_name = f"{node.name}:folded_bias"
    arrays = {bias_name: folded.astype(np.int32)}
    names = [bias_name]
    if spec.epilogue != "accumulator":
        ratio = accumulator_ratio(context.value(node.inputs[2]), context.value(node.name))
        multiplier, shift = arithmetic.requantize_multiplier(ratio, node.name)
        arrays[f"{node.name}:multiplier"] = multiplier.astype(np.int32)
        arrays[f"{node.name}:shift"] = shift.astype(np.int32)
        names = list(arrays)
    lanes = packing.padded(len(weight), LANES)
    padded = {name: _pad(array, lanes) for name, array in arrays.items()}
    first, second, third = (names + [bias_name] * 2)[:3]
    return (first, second, third), padded


def _pad(array: np.ndarray, size: int) -> np.ndarray:
    """Ones beyond the end: a shift of 1 is harmless where one of 0 would not be."""
    padded = np.ones(size, array.dtype)
    padded[: len(array)] = array
    return padded


RULES: dict[str, Callable[[Context, Node], Lowered]] = {
    "conv2d": lower_conv2d,
    "conv_transpose2d": lower_conv_transpose2d,
    "linear": lower_linear,
}
