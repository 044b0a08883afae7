"""One convolution or fully connected layer of a graph on a board's int8 kernel, from our own buffers.

It is the smallest whole proof of a board: host memory, sync, kernel, sync, and a comparison with the interpreter in
every element.

| buffer | ``conv_i8`` | ``gemm_i8`` |
|---|---|---|
| ``x`` | uint8 NCHW | uint8 ``(rows, I)`` |
| ``weight`` | int8 OIHW | int8 OI |
| ``channels`` | int64 ``(O, 3)``: bias, multiplier, shift | int32 bias, float32 ratio: ``(O, 2)`` |
| ``y`` | uint8 or int32 NCHW | uint8 ``(rows, O)`` |
| ``settings`` | int32 ``(20,)`` | int32 ``(7,)`` |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ectoolkit.core.arithmetic import requantize_multiplier
from ectoolkit.core.compare import Diff, compare
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import grid, pair, whole
from ectoolkit.core.ops.convolution import accumulator_ratio
from ectoolkit.core.verifier import op_of
from ectoolkit.devices.xrt.board import Board
from ectoolkit.devices.xrt.buffer import Buffer
from ectoolkit.errors import InputError, UnsupportedOpError

_KERNELS = {"conv2d": "conv_i8", "linear": "gemm_i8"}


@dataclass(frozen=True)
class LayerCall:
    """What a layer's kernel is given: its name, the buffers' contents, and the result's form."""

    kernel: str
    weight: np.ndarray
    channels: np.ndarray
    settings: np.ndarray
    shape: tuple[int, ...]
    dtype: str


def layer_call(graph: Graph, layer: str) -> LayerCall:
    """The contents of a layer's buffers.

    Raises:
        GraphError: there is no such layer.
        UnsupportedOpError: it is neither a convolution nor fully connected.
    """
    node = graph.node(layer)
    if node.op not in _KERNELS:
        raise UnsupportedOpError(
            f"layer {layer} ({node.op}) has no kernel of its own on the board; those that have: conv2d, linear"
        )
    return _convolution(graph, node) if node.op == "conv2d" else _linear(graph, node)


def _ends(graph: Graph, node: Node) -> tuple[int, int, int]:
    """Zero point, lowest and highest code of the layer's output."""
    quant = grid(graph.values[node.name])
    low = quant.zero_point if node.attributes["relu"] else quant.quant_min
    return quant.zero_point, low, quant.quant_max


def _convolution(graph: Graph, node: Node) -> LayerCall:
    x, weight, bias = (graph.values[name] for name in node.inputs)
    output = graph.values[node.name]
    codes = graph.constants[weight.name]
    raw = output.spec.dtype == "int32"
    multiplier = shift = np.ones(codes.shape[0], np.int64)
    if not raw:
        multiplier, shift = requantize_multiplier(accumulator_ratio(bias, output), node.name)
    ends = (0, 0, 0) if raw else _ends(graph, node)
    steps = (*pair(node, "stride"), *pair(node, "padding"), *pair(node, "dilation"), whole(node, "groups"))
    settings = [*x.spec.shape, *codes.shape, *steps, grid(x).zero_point, *ends, int(raw)]
    channels = np.stack([graph.constants[bias.name].astype(np.int64), multiplier, shift], axis=1)
    numbers = np.asarray(settings, np.int32)
    return LayerCall("conv_i8", codes, channels, numbers, output.spec.shape, output.spec.dtype)


def _linear(graph: Graph, node: Node) -> LayerCall:
    x, weight, bias = (graph.values[name] for name in node.inputs)
    output = graph.values[node.name]
    codes = graph.constants[weight.name]
    rows = x.spec.size // codes.shape[1]
    settings = np.asarray([rows, codes.shape[1], codes.shape[0], grid(x).zero_point, *_ends(graph, node)], np.int32)
    ratio = accumulator_ratio(bias, output).astype(np.float32)
    channels = np.stack([graph.constants[bias.name].astype(np.int32), ratio.view(np.int32)], axis=1)
    return LayerCall("gemm_i8", codes, channels, settings, output.spec.shape, "uint8")


def run_layer(board: Board, graph: Graph, layer: str, x: np.ndarray, *, timeout_s: float = 60.0) -> np.ndarray:
    """Run one layer on the board.

    Args:
        board: open, with an xclbin loaded that has the layer's kernel.
        graph: holds the layer.
        layer: its name.
        x: the layer's input: uint8 codes, NCHW where 4-D.
        timeout_s: how long the kernel may take.

    Returns:
        The layer's output: uint8 codes, or the int32 sums of a layer that hands those on.

    Raises:
        InputError: `x` is not what the layer takes.
        DeviceError: the board failed.
    """
    call = layer_call(graph, layer)
    spec = graph.values[graph.node(layer).inputs[0]].spec
    if x.shape != spec.shape or x.dtype != spec.dtype:
        raise InputError(f"layer {layer} takes {spec}, got {x.dtype} {x.shape}")
    result_bytes = int(np.prod(call.shape)) * np.dtype(call.dtype).itemsize
    filled = {"x": x, "weight": call.weight, "channels": call.channels, "settings": call.settings}
    sizes = {**{name: array.nbytes for name, array in filled.items()}, "y": result_bytes}
    buffers: dict[str, Buffer] = {}
    try:
        for name, size in sizes.items():
            buffers[name] = board.buffer(call.kernel, name, size)
        for name, array in filled.items():
            buffers[name].write(array)
            buffers[name].to_device()
        order = [buffers[argument.name] for argument in board.kernel(call.kernel).arguments]
        board.run(call.kernel, *order, timeout_s=timeout_s)
        buffers["y"].from_device()
        return buffers["y"].read(call.dtype, call.shape)
    finally:
        for buffer in buffers.values():
            buffer.free()


def compare_layer(board: Board, graph: Graph, layer: str, x: np.ndarray, *, timeout_s: float = 60.0) -> Diff:
    """Run one layer on the board and in the interpreter, and compare in every element; arguments as `run_layer`."""
    found = run_layer(board, graph, layer, x, timeout_s=timeout_s)
    node = graph.node(layer)
    values = [graph.values[name] for name in node.inputs]
    operands = [x, *(graph.constants[name] for name in node.inputs[1:])]
    expected = op_of(node).evaluate(node, values, graph.values[node.name], operands)
    return compare([found], [expected], [layer])
