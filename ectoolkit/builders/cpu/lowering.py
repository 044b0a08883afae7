"""Which kernel a layer becomes, and the arrays the kernel needs: one function an operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.kernels import borders, convolution, depthwise, elementwise, moving, packing, spatial
from ectoolkit.builders.cpu.kernels.expressions import LANES
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.core.ops import add as add_op
from ectoolkit.core.ops import concat as concat_op
from ectoolkit.core.ops import multiply as multiply_op
from ectoolkit.core.ops.base import grid, pair, whole, wholes
from ectoolkit.core.ops.convolution import accumulator_ratio
from ectoolkit.errors import BuildError


@dataclass(frozen=True)
class KernelCall:
    """One kernel on its way into the module.

    Attributes:
        template: function that makes the kernel.
        arguments: of the template; equal templates and arguments share one kernel.
        inputs: values and parameters it reads, by name, in order.
        output: name of the value it makes.
        shape: of the output inside the library (NHWC where 4-D).
        dtype: of the output.
    """

    template: Callable[..., Any]
    arguments: tuple[Any, ...]
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, ...]
    dtype: str


@dataclass
class Lowered:
    """What a layer became.  Names made here have a colon, which no module's path has.

    Attributes:
        calls: kernels of each run, in order.
        prepare: kernels run once at load, to pack weights.
        parameters: arrays for ``deploy.params`` beyond the graph's own constants.
    """

    calls: list[KernelCall]
    prepare: list[KernelCall] = field(default_factory=list)
    parameters: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What lowering needs to know beyond the node."""

    graph: Graph
    isa: Isa
    nchw: bool

    def value(self, name: str) -> Value:
        return self.graph.values[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape inside the library: NHWC where 4-D."""
        return inside(self.value(name).spec.shape)


def inside(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A graph's shape as the library has it: NHWC where 4-D."""
    return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else shape


def inside_axis(axis: int, rank: int) -> int:
    """Where an axis of the graph stands inside the library."""
    return (0, 3, 1, 2)[axis] if rank == 4 else axis


def lower(context: Context, node: Node) -> Lowered:
    """Choose kernels for a layer.

    Raises:
        BuildError: the cpu target has no kernel for the operation.
    """
    rule = RULES.get(node.op)
    if rule is None:
        raise BuildError(f"the cpu target has no kernel for {node.op} (layer {node.name}); it has {', '.join(RULES)}")
    return rule(context, node)


def single(
    context: Context, node: Node, template: Callable[..., Any], *arguments: Any, inputs: tuple[str, ...] | None = None
) -> Lowered:
    """A layer that is one kernel."""
    value = context.value(node.name)
    reads = node.inputs if inputs is None else inputs
    call = KernelCall(template, arguments, reads, node.name, context.shape(node.name), value.spec.dtype)
    return Lowered([call])


def lower_quantize(context: Context, node: Node) -> Lowered:
    quant = grid(context.value(node.name))
    shape = context.shape(node.name)
    reciprocal = float(arithmetic.reciprocal_of(quant.scalar))
    arguments = (reciprocal, quant.zero_point, quant.quant_min, quant.quant_max)
    return single(context, node, borders.quantize, spatial.as_nhwc(shape), shape, context.nchw, *arguments)


def lower_dequantize(context: Context, node: Node) -> Lowered:
    quant = grid(context.value(node.inputs[0]))
    shape = context.shape(node.name)
    arguments = (float(quant.scale), quant.zero_point)
    lowered = single(context, node, borders.dequantize, spatial.as_nhwc(shape), shape, context.nchw, *arguments)
    outside = context.value(node.name).spec.shape if context.nchw else shape
    call = lowered.calls[0]
    return Lowered([KernelCall(call.template, call.arguments, call.inputs, call.output, outside, call.dtype)])


def lower_conv2d(context: Context, node: Node) -> Lowered:
    x, weight = context.value(node.inputs[0]), context.value(node.inputs[1])
    output = context.value(node.name)
    codes = output.spec.dtype == "uint8"
    zero_point = grid(output).zero_point if codes else 0
    spec = convolution.ConvSpec(
        x=context.shape(node.inputs[0]),  # type: ignore[arg-type]
        weight=weight.spec.shape,  # type: ignore[arg-type]
        stride=pair(node, "stride"),
        padding=pair(node, "padding"),
        dilation=pair(node, "dilation"),
        groups=whole(node, "groups"),
        rank=4,
        input_zero_point=grid(x).zero_point,
        epilogue="codes" if codes else "accumulator",
        zero_point=zero_point,
        low=zero_point if node.attributes["relu"] else 0,
    )
    return _convolution(context, node, spec)


def lower_linear(context: Context, node: Node) -> Lowered:
    n, features = context.value(node.inputs[0]).spec.shape
    channels = context.value(node.inputs[1]).spec.shape[0]
    zero_point = grid(context.value(node.name)).zero_point
    spec = convolution.ConvSpec(
        x=(n, 1, 1, features),
        weight=(channels, features, 1, 1),
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        groups=1,
        rank=2,
        input_zero_point=grid(context.value(node.inputs[0])).zero_point,
        epilogue="host",
        zero_point=zero_point,
        low=zero_point if node.attributes["relu"] else 0,
    )
    return _convolution(context, node, spec)


def _convolution(context: Context, node: Node, spec: convolution.ConvSpec) -> Lowered:
    """Weights packed at load, per-channel arrays padded to whole vectors, one kernel a run."""
    x, weight, _ = node.inputs
    factors, parameters = _epilogue_arrays(context, node, spec)
    packed = f"{weight}:packed"
    template: Callable[..., Any]
    arguments: tuple[Any, ...]
    if spec.groups == 1:
        template, arguments = convolution.dense, (spec, context.isa)
        shape, dtype = packing.dense_shape(spec.weight, context.isa), context.isa.weight_dtype
        pack = KernelCall(packing.pack_dense, (spec.weight, spec.rank, context.isa), (weight,), packed, shape, dtype)
    elif spec.weight[1] == 1 and spec.groups == spec.weight[0]:
        template, arguments = depthwise.depthwise, (spec,)
        shape = (*spec.weight[2:], packing.padded(spec.weight[0], LANES))
        pack = KernelCall(packing.pack_depthwise, (spec.weight,), (weight,), packed, shape, "int16")
    else:
        template, arguments, packed, pack = depthwise.grouped, (spec,), weight, None
    call = KernelCall(
        template, arguments, (x, packed, *factors), node.name, spec.shaped(spec.output), spec.output_dtype
    )
    return Lowered([call], [pack] if pack else [], parameters)


def _epilogue_arrays(
    context: Context, node: Node, spec: convolution.ConvSpec
) -> tuple[tuple[str, str, str], dict[str, np.ndarray]]:
    """The three per-channel arrays of a convolution's end, padded to LANES; unused places repeat the bias."""
    weight = context.graph.constants[node.inputs[1]].astype(np.int64)
    bias = context.graph.constants[node.inputs[2]].astype(np.int64)
    folded = bias - spec.input_zero_point * weight.reshape(len(weight), -1).sum(axis=1)
    bias_name = f"{node.name}:folded_bias"
    arrays = {bias_name: folded.astype(np.int32)}
    names = [bias_name]
    if spec.epilogue != "accumulator":
        ratio = accumulator_ratio(context.value(node.inputs[2]), context.value(node.name))
        if spec.epilogue == "host":
            arrays[f"{node.name}:ratio"] = ratio.astype(np.float32)
        else:
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


def lower_add(context: Context, node: Node) -> Lowered:
    values = [context.value(name) for name in node.inputs]
    output = context.value(node.name)
    ratio = add_op.output_ratio(values, output)
    multiplier, shift = arithmetic.requantize_multiplier(ratio, node.name)
    main_multiplier, main_shift = arithmetic.requantize_multiplier(add_op.main_ratio(values), node.name)
    zero_point = grid(output).zero_point
    spec = elementwise.AddSpec(
        shape=context.shape(node.name),
        main_dtype=values[0].spec.dtype,
        main_zero=grid(values[0]).zero_point,
        other_zero=grid(values[1]).zero_point,
        multiplier=int(multiplier),
        shift=int(shift),
        zero_point=zero_point,
        relu=bool(node.attributes["relu"]),
        ceiling=add_op.relu_ceiling(zero_point, ratio),
    )
    arrays = {
        f"{node.name}:multiplier": np.atleast_1d(main_multiplier).astype(np.int32),
        f"{node.name}:shift": np.atleast_1d(main_shift).astype(np.int32),
    }
    inputs = (node.inputs[0], *arrays, node.inputs[1])
    lowered = single(context, node, elementwise.add, spec, inputs=inputs)
    return Lowered(lowered.calls, [], arrays)


def lower_concat(context: Context, node: Node) -> Lowered:
    output = context.value(node.name)
    axis = inside_axis(whole(node, "axis"), len(output.spec.shape))
    calls, parts = [], []
    for position, name in enumerate(node.inputs):
        value = context.value(name)
        if grid(value) == grid(output):
            parts.append((name, context.shape(name)))
            continue
        ratio = arithmetic.requantize_multiplier(concat_op.input_ratio(value, output), node.name)
        arguments = (grid(value).zero_point, int(ratio[0]), int(ratio[1]), grid(output).zero_point)
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


def lower_relu(context: Context, node: Node) -> Lowered:
    return single(context, node, elementwise.relu, context.shape(node.name), grid(context.value(node.name)).zero_point)


def lower_max_pool(context: Context, node: Node) -> Lowered:
    settings = [pair(node, name) for name in ("kernel", "stride", "padding", "dilation")]
    return single(context, node, spatial.max_pool, context.shape(node.inputs[0]), context.shape(node.name), *settings)


def lower_global_avg_pool(context: Context, node: Node) -> Lowered:
    return single(context, node, spatial.global_avg_pool, context.shape(node.inputs[0]))


def lower_upsample(context: Context, node: Node) -> Lowered:
    template = spatial.upsample_bilinear if node.op == "upsample_bilinear" else spatial.upsample_nearest
    return single(context, node, template, context.shape(node.inputs[0]))


def lower_reshape(context: Context, node: Node) -> Lowered:
    return single(context, node, spatial.reshape, context.shape(node.inputs[0]), context.shape(node.name))


def lower_multiply(context: Context, node: Node) -> Lowered:
    values = [context.value(name) for name in node.inputs]
    output = context.value(node.name)
    multiplier, shift = arithmetic.requantize_multiplier(multiply_op.product_ratio(values, output), node.name)
    each = values[0].spec.shape == values[1].spec.shape
    zeros = (grid(values[0]).zero_point, grid(values[1]).zero_point)
    arguments = (each, *zeros, int(multiplier), int(shift), grid(output).zero_point)
    return single(context, node, elementwise.multiply, context.shape(node.name), *arguments)


def lower_lookup(context: Context, node: Node) -> Lowered:
    return single(context, node, moving.lookup, context.shape(node.name))


def lower_pad(context: Context, node: Node) -> Lowered:
    top, _, left, _ = wholes(node, "amounts")
    shapes = (context.shape(node.inputs[0]), context.shape(node.name))
    return single(context, node, moving.pad, *shapes, top, left, grid(context.value(node.name)).zero_point)


def lower_slice(context: Context, node: Node) -> Lowered:
    shape = context.shape(node.inputs[0])
    axis = inside_axis(whole(node, "axis"), len(shape))
    return single(context, node, moving.slice_axis, shape, axis, node.attributes["begin"], node.attributes["end"])


def lower_transpose(context: Context, node: Node) -> Lowered:
    shape = context.shape(node.inputs[0])
    order = wholes(node, "order")
    if len(shape) == 4:  # both sides are NHWC inside
        order = tuple(inside_axis(order[axis], 4) for axis in (0, 2, 3, 1))
    return single(context, node, moving.transpose, shape, order)


RULES: dict[str, Callable[[Context, Node], Lowered]] = {
    "add": lower_add,
    "concat": lower_concat,
    "conv2d": lower_conv2d,
    "dequantize": lower_dequantize,
    "global_avg_pool": lower_global_avg_pool,
    "linear": lower_linear,
    "lookup": lower_lookup,
    "max_pool2d": lower_max_pool,
    "multiply": lower_multiply,
    "pad": lower_pad,
    "quantize": lower_quantize,
    "relu": lower_relu,
    "reshape": lower_reshape,
    "slice": lower_slice,
    "transpose": lower_transpose,
    "upsample_bilinear": lower_upsample,
    "upsample_nearest": lower_upsample,
}
