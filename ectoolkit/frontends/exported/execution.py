"""Runs a planned network, or one of its layers, in float32 torch.

The plan is executed, not the captured module: so a layer can be run alone, with other weights or other inputs, and what
the plan says is what the statistics see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.functions import function_of
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops import OPS
from ectoolkit.core.ops.movement import places_of
from ectoolkit.core.types import Layout, TensorSpec
from ectoolkit.errors import GraphError
from ectoolkit.frontends.exported.forms import FLOAT_FORMS
from ectoolkit.frontends.exported.plan import FloatLayer, FloatNetwork

#: called with a layer's or input's name and its float32 torch tensor, which it must not change
Visit = Callable[[str, Any], None]


def run_network(network: FloatNetwork, inputs: Sequence[Any], visit: Visit | None = None) -> list[Any]:
    """Run all layers.

    Args:
        network: what to run.
        inputs: float32 torch tensors in the network's order; a batch of any size.
        visit: sees every input and every layer's result, in execution order.

    Returns:
        The outputs, torch float32.
    """
    torch = require("torch", feature="Running the float model")
    last_use = last_uses(network)
    values: dict[str, Any] = dict(zip(network.inputs, inputs, strict=True))
    with torch.inference_mode():
        for name, value in list(values.items()):
            if visit is not None:
                visit(name, value)
        for layer in network.layers:
            values[layer.name] = run_layer(layer, [values[name] for name in layer.inputs])
            if visit is not None:
                visit(layer.name, values[layer.name])
            for name in last_use[layer.name]:
                del values[name]
    return [values[name] for name in network.outputs]


def last_uses(network: FloatNetwork) -> Mapping[str, list[str]]:
    """For each layer, the values that nobody needs after it; the network's outputs are never among them."""
    last = {name: layer.name for layer in network.layers for name in layer.inputs}
    freed: dict[str, list[str]] = {layer.name: [] for layer in network.layers}
    for name, user in last.items():
        if name not in network.outputs:
            freed[user].append(name)
    return freed


def run_layer(layer: FloatLayer, inputs: Sequence[Any], weight: Any = None, bias: Any = None) -> Any:
    """One layer's float result.

    Args:
        layer: what to run.
        inputs: float32 torch tensors.
        weight: in place of the layer's own, torch float32 of its shape.
        bias: in place of the layer's own, torch float32.

    Returns:
        torch float32, a tensor of its own or a view of an input.
    """
    torch = require("torch", feature="Running the float model")
    rule = _RULES.get(layer.op)
    if rule is None or layer.constants:
        return _run_core(torch, layer, inputs)
    if layer.weight is not None:
        weight = torch.from_numpy(layer.weight) if weight is None else weight
        if bias is None and layer.bias is not None:
            bias = torch.from_numpy(layer.bias)
    return activate(layer, rule(torch, layer, list(inputs), weight, bias))


def activate(layer: FloatLayer, value: Any) -> Any:
    """The layer's fused activation applied to its sums in place."""
    if not layer.attributes.get("relu"):
        return value
    return value.relu_() if layer.ceiling is None else value.clamp_(0, layer.ceiling)


def _run_core(torch: Any, layer: FloatLayer, inputs: Sequence[Any]) -> Any:
    """By the graph's own definition of the float operation, image by image."""
    op = OPS[FLOAT_FORMS.get(layer.op, layer.op)]
    if "float32" not in op.input_dtypes[0]:
        raise GraphError(f"layer {layer.name}: {layer.op} cannot be run in float; this is a bug in ectoolkit")
    parts = []
    for index in range(len(inputs[0])):
        arrays = [np.ascontiguousarray(value[index : index + 1].numpy()) for value in inputs]
        for place, array in sorted(layer.constants.items()):
            arrays.insert(place, np.asarray(array, np.float32))
        values = [
            Value(str(place), TensorSpec(array.shape, "float32", Layout.of_activation(array.ndim)))
            for place, array in enumerate(arrays)
        ]
        node = Node(layer.name, op.name, tuple(value.name for value in values), layer.attributes)
        output = Value(layer.name, op.output_spec(node, values, "float32"))
        parts.append(torch.from_numpy(op.evaluate(node, values, output, arrays)))
    return torch.cat(parts)


# --- one small function an operation --------------------------------------------------------------------------------

Rule = Callable[[Any, FloatLayer, list[Any], Any, Any], Any]


def _conv2d(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    a = layer.attributes
    return torch.conv2d(x[0], weight, bias, a["stride"], a["padding"], a["dilation"], a["groups"])


def _linear(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    return torch.nn.functional.linear(x[0], weight, bias)


def _max_pool(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    a = layer.attributes
    settings = (a["kernel"], a["stride"], a["padding"], a["dilation"], a.get("ceil_mode", False))
    return torch.nn.functional.max_pool2d(x[0], *settings)


def _pad(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    amounts: Any = layer.attributes["amounts"]
    top, bottom, left, right = amounts
    return torch.nn.functional.pad(x[0], (left, right, top, bottom))


def _reshape(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    shape: Any = layer.attributes["shape"]
    return x[0].reshape(-1, *shape[1:])  # the first axis grows with the batch


def _slice(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    a: Any = layer.attributes
    return x[0].narrow(a["axis"], a["begin"], a["end"] - a["begin"])


def _upsample(mode: str) -> Rule:
    def rule(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
        return torch.nn.functional.interpolate(x[0], scale_factor=2, mode=mode)

    return rule


def _conv_transpose2d(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    """The plan's weight is that of the convolution over moved-apart elements; torch's is flipped, inputs first."""
    a: Any = layer.attributes
    groups, (o, i, rows, columns) = a["groups"], weight.shape
    grouped = weight.flip((2, 3)).reshape(groups, o // groups, i, rows, columns).transpose(1, 2)
    settings = (a["stride"], a["padding"], a["output_padding"], groups, a["dilation"])
    return torch.conv_transpose2d(x[0], grouped.reshape(groups * i, o // groups, rows, columns), bias, *settings)


def _gather(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    result = x[0]
    for axis, places in places_of(Node(layer.name, layer.op, layer.inputs, layer.attributes)).items():
        result = result.index_select(axis, torch.tensor(places))
    return result


#: functions that torch has and that are the plan's own to the last few bits
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "at_least": lambda torch, x, low: x.clamp(min=low),
    "at_most": lambda torch, x, high: x.clamp(max=high),
    "clamp": lambda torch, x, low, high: x.clamp(low, high),
    "gelu": lambda torch, x: torch.nn.functional.gelu(x),
    "gelu_tanh": lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),
    "hardsigmoid": lambda torch, x: torch.nn.functional.hardsigmoid(x),
    "hardswish": lambda torch, x: torch.nn.functional.hardswish(x),
    "leaky_relu": lambda torch, x, slope: torch.nn.functional.leaky_relu(x, slope),
    "minus": lambda torch, x, term: x - term,
    "over": lambda torch, x, divisor: x / divisor,
    "plus": lambda torch, x, term: x + term,
    "relu": lambda torch, x: x.relu(),
    "sigmoid": lambda torch, x: torch.sigmoid(x),
    "silu": lambda torch, x: torch.nn.functional.silu(x),
    "tanh": lambda torch, x: torch.tanh(x),
    "times": lambda torch, x, factor: x * factor,
}


def _function(torch: Any, layer: FloatLayer, x: list[Any], weight: Any, bias: Any) -> Any:
    name: Any = layer.attributes["function"]
    parameters: Any = layer.attributes.get("parameters", ())
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](torch, x[0], *parameters)
    function = layer.function or function_of(name, parameters)
    return torch.from_numpy(np.asarray(function(x[0].numpy().astype(np.float64)), np.float32))


_RULES: dict[str, Rule] = {
    "add": lambda torch, layer, x, weight, bias: x[0] + x[1],
    "conv_transpose2d": _conv_transpose2d,
    "concat": lambda torch, layer, x, weight, bias: torch.cat(x, layer.attributes["axis"]),
    "conv2d": _conv2d,
    "global_avg_pool": lambda torch, layer, x, weight, bias: x[0].mean((2, 3), keepdim=True),
    "float_function": _function,
    "gather": _gather,
    "linear": _linear,
    "lookup": _function,
    "max_pool2d": _max_pool,
    "mean": lambda torch, layer, x, weight, bias: x[0].mean((2, 3), keepdim=True),
    "multiply": lambda torch, layer, x, weight, bias: x[0] * x[1],
    "pad": _pad,
    "relu": lambda torch, layer, x, weight, bias: x[0].relu(),
    "reshape": _reshape,
    "slice": _slice,
    "subtract": lambda torch, layer, x, weight, bias: x[0] - x[1],
    "transpose": lambda torch, layer, x, weight, bias: x[0].permute(layer.attributes["order"]),
    "upsample_bilinear": _upsample("bilinear"),
    "upsample_nearest": _upsample("nearest"),
}
