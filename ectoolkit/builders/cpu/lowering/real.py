"""Layers that run on real numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ectoolkit.builders.cpu.kernels import real
from ectoolkit.builders.cpu.kernels.computed import Tensor
from ectoolkit.builders.cpu.lowering.context import Context, KernelCall, Lowered, computed
from ectoolkit.core.functions import parameter_names
from ectoolkit.core.graph import Node
from ectoolkit.core.ops.base import number, numbers, pair, whole, wholes
from ectoolkit.core.ops.conv_transpose import frame_of
from ectoolkit.core.ops.real.base import axis_of
from ectoolkit.core.ops.real.binary import BINARY
from ectoolkit.core.ops.real.reduction import REDUCTIONS


def lower_binary(context: Context, node: Node) -> Lowered:
    return computed(context, node, real.binary, node.op)


def lower_reduction(context: Context, node: Node) -> Lowered:
    return computed(context, node, real.reduction, node.op, wholes(node, "axes"), bool(node.attributes["keep"]))


def lower_function(context: Context, node: Node) -> Lowered:
    name = str(node.attributes["function"])
    return computed(context, node, real.function, name, numbers(node, "parameters", len(parameter_names(name))))


def lower_prelu(context: Context, node: Node) -> Lowered:
    return computed(context, node, real.prelu)


def lower_layer_norm(context: Context, node: Node) -> Lowered:
    return computed(context, node, real.layer_norm, number(node, "epsilon"))


def lower_group_norm(context: Context, node: Node) -> Lowered:
    return computed(context, node, real.group_norm, whole(node, "groups"), number(node, "epsilon"))


def lower_softmax(context: Context, node: Node) -> Lowered:
    axis = axis_of(node, len(context.value(node.name).spec.shape))
    return computed(context, node, real.softmax, axis, bool(node.attributes["log"]))


def lower_matmul(context: Context, node: Node) -> Lowered:
    return computed(context, node, real.matmul)


def lower_linear(context: Context, node: Node) -> Lowered:
    return computed(context, node, real.linear)


def lower_attention(context: Context, node: Node) -> Lowered:
    return computed(context, node, real.attention, number(node, "scale"))


def lower_resample(context: Context, node: Node) -> Lowered:
    """Most weights are 0: the kernel gets each row's run of others."""
    tables = {}
    for name, constant in zip(("rows", "columns"), node.inputs[1:], strict=True):
        first, weights = runs_of(context.graph.constants[constant])
        tables[f"{node.name}:first_{name}"], tables[f"{node.name}:{name}"] = first, weights
    return computed(context, node, real.resample, inputs=node.inputs[:1], tables=tables)


def runs_of(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each row's weights begin, int32 ``(rows,)``, and as many as the longest run has, ``(rows, taps)``."""
    spans = [np.flatnonzero(row) for row in weights]
    taps = max((int(span[-1] - span[0]) + 1 for span in spans if len(span)), default=1)
    first = [min(int(span[0]) if len(span) else 0, weights.shape[1] - taps) for span in spans]
    return np.array(first, np.int32), np.stack([row[f : f + taps] for row, f in zip(weights, first, strict=True)])


def lower_conv2d(context: Context, node: Node) -> Lowered:
    steps = [pair(node, name) for name in ("stride", "padding", "dilation")]
    return computed(context, node, real.conv2d, *steps, whole(node, "groups"))


def lower_conv_transpose2d(context: Context, node: Node) -> Lowered:
    x, weight, bias = (context.tensor(name) for name in node.inputs)
    stride, output = pair(node, "stride"), context.tensor(node.name)
    (top, bottom), (left, right) = frame_of(node, (weight.shape[2], weight.shape[3]))
    n, c, h, w = x.shape
    shape = (n, c, (h - 1) * stride[0] + 1 + top + bottom, (w - 1) * stride[1] + 1 + left + right)
    spread, name = Tensor(shape, tuple(range(4)), "float32"), f"{node.name}:spread"
    moved = KernelCall(real.spread, ((x,), spread, stride, top, left), node.inputs[:1], name, spread.inside, "float32")
    settings = ((1, 1), (0, 0), pair(node, "dilation"), whole(node, "groups"))
    arguments = ((spread, weight, bias), output, *settings)
    reads = (name, *node.inputs[1:])
    return Lowered([moved, KernelCall(real.conv2d, arguments, reads, node.name, output.inside, "float32")])


RULES: dict[str, Callable[[Context, Node], Lowered]] = {
    **dict.fromkeys(BINARY, lower_binary),
    **dict.fromkeys(REDUCTIONS, lower_reduction),
    "float_attention": lower_attention,
    "float_conv2d": lower_conv2d,
    "float_conv_transpose2d": lower_conv_transpose2d,
    "float_function": lower_function,
    "float_group_norm": lower_group_norm,
    "float_layer_norm": lower_layer_norm,
    "float_linear": lower_linear,
    "float_matmul": lower_matmul,
    "float_prelu": lower_prelu,
    "float_resample": lower_resample,
    "float_softmax": lower_softmax,
}
