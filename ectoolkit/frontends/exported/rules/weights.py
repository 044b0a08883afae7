"""Layers with weights: convolutions, linear layers, and factors and shifts a channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ectoolkit.core.ops.conv_transpose import as_convolution
from ectoolkit.frontends.exported.nodes import arguments, pair, shape_of
from ectoolkit.frontends.exported.planner import Planner


def conv2d(planner: Planner, node: Any) -> None:
    x, weight, bias, stride, padding, dilation, groups = arguments(node, None, None, None, 1, 0, 1, 1)
    _convolution(planner, node, x, weight, bias, stride, padding, dilation, groups)


def convolution(planner: Planner, node: Any) -> None:
    """The general form, which torchao makes of a convolution it folds."""
    x, weight, bias, stride, padding, dilation, transposed, more, groups = node.args
    if len(shape_of(x)) != 4:
        raise planner.unsupported(node, f"of an input of shape {shape_of(x)} is not defined; it must be (N, C, H, W)")
    if transposed:
        _transposed(planner, node, x, weight, bias, stride, padding, more, groups, dilation)
    else:
        _convolution(planner, node, x, weight, bias, stride, padding, dilation, groups)


def _convolution(
    planner: Planner, node: Any, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> None:
    kernel = _weight(planner, node, weight)
    if padding == "valid":
        padding = 0
    if padding == "same":
        x, padding = _padded_to_same(planner, node, x, kernel.shape[2:], pair(dilation))
    act = planner.fused_relu(node)
    settings = {
        "stride": pair(stride),
        "padding": pair(padding),
        "dilation": pair(dilation),
        "groups": int(groups),
        "relu": act is not None,
    }
    planner.add(node, "conv2d", [x], act, attributes=settings, weight=kernel, bias=planner.array(bias))


def _weight(planner: Planner, node: Any, weight: Any) -> np.ndarray:
    kernel = planner.array(weight)
    if kernel is None:
        raise planner.unsupported(node, "with computed weights is not defined")
    return kernel


def _padded_to_same(
    planner: Planner, node: Any, x: Any, kernel: tuple[int, ...], dilation: tuple[int, int]
) -> tuple[Any, tuple[int, int]]:
    """torch's ``padding="same"``: the odd row and column go behind, which only a layer of its own can do."""
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    before = (totals[0] // 2, totals[1] // 2)
    if all(total % 2 == 0 for total in totals):
        return x, before
    amounts = (before[0], totals[0] - before[0], before[1], totals[1] - before[1])
    name = planner.add(node, "pad", [x], step="padded", attributes={"amounts": amounts}, keeps_grid=True)
    return name, (0, 0)


def conv1d(planner: Planner, node: Any) -> None:
    """A convolution over columns of images with one row."""
    x, weight, bias, stride, padding, dilation, groups = arguments(node, None, None, None, 1, 0, 1, 1)
    kernel = _weight(planner, node, weight)
    n, channels, length = shape_of(x)
    image = planner.reshaped(node, x, (n, channels, 1, length), "image")
    if isinstance(padding, str):
        total = pair(dilation)[0] * (kernel.shape[2] - 1) if padding == "same" else 0
        padding = total // 2
        if total % 2:
            amounts = (0, 0, padding, total - padding)
            padded = {"amounts": amounts}
            image = planner.add(node, "pad", [image], step="padded", attributes=padded, keeps_grid=True)
            padding = 0
    act = planner.fused_relu(node)
    settings = {
        "stride": (1, pair(stride)[0]),
        "padding": (0, pair(padding)[0]),
        "dilation": (1, pair(dilation)[0]),
        "groups": int(groups),
        "relu": act is not None,
    }
    weights = kernel[:, :, None, :]
    made = planner.add(node, "conv2d", [image], act, attributes=settings, weight=weights, bias=planner.array(bias))
    _back(planner, node, act, made, shape_of(node))


def _back(planner: Planner, node: Any, act: Any, made: str, shape: tuple[int, ...]) -> None:
    """After a detour over images: the node's own shape again."""
    planner.names[node] = planner.names[act or node] = planner.reshaped(node, made, shape, "shape")


def conv_transpose2d(planner: Planner, node: Any) -> None:
    _transposed(planner, node, *arguments(node, None, None, None, 1, 0, 0, 1, 1))


def _transposed(
    planner: Planner,
    node: Any,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    more: Any,
    groups: Any,
    dilation: Any,
) -> None:
    kernel = _weight(planner, node, weight)
    reach = [d * (k - 1) for d, k in zip(pair(dilation), kernel.shape[2:], strict=True)]
    if any(p > r for p, r in zip(pair(padding), reach, strict=True)):
        raise planner.unsupported(node, f"with padding {pair(padding)}, more than its kernel reaches, is not defined")
    act = planner.fused_relu(node)
    settings = {
        "stride": pair(stride),
        "padding": pair(padding),
        "output_padding": pair(more),
        "dilation": pair(dilation),
        "groups": int(groups),
        "relu": act is not None,
    }
    weights = as_convolution(kernel, int(groups))
    planner.add(node, "conv_transpose2d", [x], act, attributes=settings, weight=weights, bias=planner.array(bias))


def linear(planner: Planner, node: Any) -> None:
    x, weight, bias = arguments(node, None, None, None)
    codes = _weight(planner, node, weight)
    if len(shape_of(x)) < 2:
        raise planner.unsupported(node, f"of an input of shape {shape_of(x)} is not defined; it must have a batch axis")
    act = planner.fused_relu(node)
    relu = {"relu": act is not None}
    planner.add(node, "linear", [x], act, attributes=relu, weight=codes, bias=planner.array(bias))


def batch_norm(planner: Planner, node: Any) -> None:
    """One that follows no convolution: a factor and a shift a channel."""
    x, *parameters = node.args[:5]
    weight, bias, mean, variance = (planner.array(parameter) for parameter in parameters)
    epsilon = float(node.args[7])
    if mean is None or variance is None:
        raise planner.unsupported(node, "without running statistics is not defined")
    factor = (1 if weight is None else weight) / np.sqrt(variance + epsilon)
    shift = (0 if bias is None else bias) - mean * factor
    channelwise(planner, node, x, factor, np.asarray(shift, np.float32))


def channelwise(planner: Planner, node: Any, x: Any, factor: np.ndarray, shift: np.ndarray | None) -> None:
    """A factor and a shift a channel (axis 1): a depthwise 1×1 convolution, exact in its sums."""
    shape = shape_of(x)
    if len(shape) == 4:
        depthwise(planner, node, x, factor[:, None, None, None], shift, (1, 1), (0, 0))
        return
    image = planner.reshaped(node, x, (shape[0], shape[1], 1, int(np.prod(shape[2:]))), "image")
    act = planner.fused_relu(node)
    made = depthwise(planner, node, image, factor[:, None, None, None], shift, (1, 1), (0, 0))
    _back(planner, node, act, made, shape)


def depthwise(
    planner: Planner,
    node: Any,
    x: Any,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> str:
    """Add a convolution with a group a channel; returns its name."""
    act = planner.fused_relu(node)
    settings = {"stride": stride, "padding": padding, "dilation": (1, 1), "groups": len(weight)}
    settings["relu"] = act is not None
    return planner.add(node, "conv2d", [x], act, attributes=settings, weight=weight.astype(np.float32), bias=bias)


RULES = {
    "batch_norm": batch_norm,
    "conv1d": conv1d,
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "convolution": convolution,
    "linear": linear,
}
