"""conv2d, conv_transpose2d and linear: sums, then the output's grid."""

from __future__ import annotations

import numpy as np
import torch

from ectoolkit.core import arithmetic
from ectoolkit.core.ops.base import grid, pair, whole
from ectoolkit.core.ops.conv_transpose import frame_of
from ectoolkit.core.ops.convolution import accumulator_ratio
from ectoolkit.interpreters.fast.layer import Form, Layer, Run
from ectoolkit.interpreters.fast.layouts import by_blocks, to_codes
from ectoolkit.interpreters.fast.rescale import Rescale
from ectoolkit.interpreters.fast.self_test import exact_method
from ectoolkit.interpreters.fast.sums import Convolution, Sums, make_sums


def conv2d(layer: Layer) -> Form:
    """Any stride, dilation, groups; codes or the raw accumulator."""
    node = layer.node
    steps = (pair(node, "stride"), pair(node, "padding"), pair(node, "dilation"))
    weight = _weight(layer)
    convolution = Convolution(
        weight, grid(layer.inputs[0]).zero_point, layer.inputs[0].spec.shape, *steps, whole(node, "groups")
    )
    return _convolution(layer, convolution, lambda x: x)


def conv_transpose2d(layer: Layer) -> Form:
    """The convolution of the elements moved apart, on what has the zero point between and around them."""
    node, zero_point = layer.node, grid(layer.inputs[0]).zero_point
    weight = _weight(layer)
    n, channels, height, width = layer.inputs[0].spec.shape
    sh, sw = pair(node, "stride")
    (top, bottom), (left, right) = frame_of(node, (weight.shape[2], weight.shape[3]))
    shape = (n, channels, (height - 1) * sh + 1 + top + bottom, (width - 1) * sw + 1 + left + right)
    dilation, groups = pair(node, "dilation"), whole(node, "groups")
    convolution = Convolution(weight, zero_point, shape, dilation=dilation, groups=groups)

    def spread(x: torch.Tensor) -> torch.Tensor:
        moved = torch.full(shape, zero_point, dtype=torch.uint8, device="cpu").contiguous(
            memory_format=torch.channels_last
        )
        moved[:, :, top : shape[2] - bottom : sh, left : shape[3] - right : sw] = x
        return moved

    return _convolution(layer, convolution, spread)


def _convolution(layer: Layer, convolution: Convolution, before: Run) -> Form:
    bias = _bias(layer)
    sums, name = make_sums(convolution, exact_method())
    if layer.output.spec.dtype == "int32":
        return Form(_accumulator(sums, before, bias), f"{name} sums", (0,))
    quant = grid(layer.output)
    multiplier, shift = arithmetic.requantize_multiplier(accumulator_ratio(layer.inputs[2], layer.output))
    bound = convolution.bound + np.abs(bias)
    rescale = Rescale(multiplier, shift, bound=bound, offset=bias, zero_point=quant.zero_point)
    low, high = quant.zero_point if layer.node.attributes["relu"] else quant.quant_min, quant.quant_max

    def run(x: torch.Tensor) -> torch.Tensor:
        return by_blocks(lambda acc: rescale.codes(acc, low, high), sums(before(x)))

    return Form(run, f"{name} sums, {rescale.form} requantize", (0,))


def _accumulator(sums: Sums, before: Run, bias: np.ndarray) -> Run:
    """The sum with its bias, int32."""
    added = torch.from_numpy(bias.astype(np.int32))[:, None, None]
    return lambda x: sums(before(x)).to(torch.int32).add_(added)


def linear(layer: Layer) -> Form:
    """Rows of features as the pixels of a 1×1 convolution; rounded in float32 as the host does."""
    weight, bias = _weight(layer), torch.from_numpy(_bias(layer).astype(np.int32))
    quant, shape = grid(layer.output), layer.output.spec.shape
    count, features = layer.inputs[0].spec.size // weight.shape[1], weight.shape[1]
    convolution = Convolution(weight[:, :, None, None], grid(layer.inputs[0]).zero_point, (1, features, count, 1))
    sums, name = make_sums(convolution, exact_method())
    ratio = torch.from_numpy(accumulator_ratio(layer.inputs[2], layer.output).astype(np.float32))
    low, high = quant.zero_point if layer.node.attributes["relu"] else quant.quant_min, quant.quant_max

    def run(x: torch.Tensor) -> torch.Tensor:
        pixels = x.reshape(1, count, 1, features).permute(0, 3, 1, 2)
        acc = sums(pixels).permute(0, 2, 3, 1).reshape(count, -1).to(torch.int32).add_(bias)
        # two steps, each rounded to float32: together they might be one instruction that rounds once
        rounded = acc.to(torch.float32).mul_(ratio).add_(0.5).floor_()
        steps = rounded.clamp_(-512, 512).add_(quant.zero_point)
        return to_codes(steps.clamp_(low, high)).reshape(shape)

    return Form(run, f"{name} sums, float32 requantize", (0,))


def _weight(layer: Layer) -> np.ndarray:
    weight = layer.constants[1]
    assert weight is not None  # the verifier saw to it
    return weight


def _bias(layer: Layer) -> np.ndarray:
    """int64 ``(O,)``."""
    bias = layer.constants[2]
    assert bias is not None
    return bias.astype(np.int64)
