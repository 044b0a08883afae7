"""Depthwise convolutions."""

from __future__ import annotations

from ectoolkit.builders.cpu.kernels import depthwise, lanes
from ectoolkit.builders.cpu.kernels.convolution import ConvSpec
from ectoolkit.builders.cpu.lowering.context import Context, KernelCall, Lowered
from ectoolkit.builders.cpu.lowering.endings import ending_of, in_lanes
from ectoolkit.core.graph import Node


def lower_depthwise(context: Context, node: Node, conv: ConvSpec, x: str, made: str) -> Lowered:
    """One kernel; weights and per-channel arrays in the order of its lanes."""
    channels, isa = conv.x[3], context.isa
    ending, parameters = ending_of(context, node, conv, apart=False)
    order = lanes.order_of(channels, isa)
    *names, settings = parameters
    parameters = {name: in_lanes(parameters[name], order) for name in names} | {settings: parameters[settings]}
    arguments = (conv, ending, isa)
    packed, shape = f"{node.name}:packed", (len(order) * depthwise.weights_a_lane(conv, isa),)
    dtype = lanes.weight_dtype(isa)
    prepare = KernelCall(depthwise.pack_weights, (conv, isa), node.inputs[1:2], packed, shape, dtype)
    reads = (x, packed, *parameters)
    call = KernelCall(depthwise.depthwise, arguments, reads, made, conv.output, ending.dtype)
    return Lowered([call], [prepare], parameters)
