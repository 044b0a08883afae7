"""Layers that look at neighbours: pools, means, frames, enlarging."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ectoolkit.core import arithmetic
from ectoolkit.core.ops.avg_pool import window_counts
from ectoolkit.core.ops.base import grid, pair, wholes
from ectoolkit.core.ops.global_avg_pool import truncating_mean
from ectoolkit.core.ops.host_mean import reciprocal_of_count
from ectoolkit.core.ops.mean import mean_ratio
from ectoolkit.interpreters.fast.layer import Form, Layer
from ectoolkit.interpreters.fast.layouts import to_codes
from ectoolkit.interpreters.fast.rescale import Rescale

_HALF = torch.from_numpy(np.array(0.5))


def max_pool2d(layer: Layer) -> Form | None:
    """The largest code of each window, in float32, which torch's pool needs; real numbers by their definition."""
    if layer.output.spec.dtype == "float32":
        return None
    kernel, stride, padding, dilation = (pair(layer.node, name) for name in ("kernel", "stride", "padding", "dilation"))
    ceil_mode = bool(layer.node.attributes["ceil_mode"])

    def run(x: torch.Tensor) -> torch.Tensor:
        pooled = functional.max_pool2d(x.to(torch.float32), kernel, stride, padding, dilation, ceil_mode)
        # a window with dilation can step over the whole input: minus infinity there, 0 by the rule
        return to_codes(pooled.clamp_(min=0))

    return Form(run, "float32", (0,))


def global_avg_pool(layer: Layer) -> Form:
    """The sum over rows and columns, cut down to a whole number: see `ectoolkit.core.ops.global_avg_pool`."""
    _, _, height, width = layer.inputs[0].spec.shape
    half, multiplier, shift = truncating_mean(height * width)

    def run(x: torch.Tensor) -> torch.Tensor:
        total = x.sum((2, 3), keepdim=True, dtype=torch.int64).sub_(half)
        return (total.mul_(multiplier).add_(1 << (shift - 1)) >> shift).clamp_(min=0).to(torch.uint8)

    return Form(run, "int64", (0,))


def avg_pool2d(layer: Layer) -> Form | None:
    """Sums of windows in float32 where that is exact, cut down to whole numbers."""
    node, quant = layer.node, grid(layer.output)
    kernel, stride, (down, across) = (pair(node, name) for name in ("kernel", "stride", "padding"))
    if 255 * kernel[0] * kernel[1] >= 1 << 24:
        return None
    frame = quant.zero_point if node.attributes["count_frame"] else 0
    extents, size = (value.spec.shape[2:] for value in (layer.inputs[0], layer.output))
    counts = torch.from_numpy(window_counts(node, extents, size))

    def run(x: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(x.to(torch.float32), (across, across, down, down), value=frame)
        sums = functional.avg_pool2d(padded, kernel, stride, divisor_override=1).to(torch.int64)
        return sums.div_(counts, rounding_mode="floor").to(torch.uint8)

    return Form(run, "float32 sums", (0,))


def host_mean(layer: Layer) -> Form:
    """The sum of one element after the other, each exact in float64 before it is rounded to float32."""
    _, _, height, width = layer.inputs[0].spec.shape
    quant = grid(layer.output)
    scale, share = (torch.from_numpy(np.array(v)) for v in (quant.scalar, reciprocal_of_count(height * width)))

    def run(x: torch.Tensor) -> torch.Tensor:
        real = x.flatten(2).to(torch.float64).sub_(quant.zero_point).mul_(float(quant.scalar))
        total = torch.zeros(x.shape[:2], dtype=torch.float32, device="cpu")
        for element in real.unbind(-1):
            total = (total.to(torch.float64) + element).to(torch.float32)
        steps = (total * share / scale).clamp_(-512, 512).to(torch.float64)
        whole_steps = steps.add_(torch.copysign(_HALF, steps)).to(torch.int32).add_(quant.zero_point)
        return whole_steps.clamp_(quant.quant_min, quant.quant_max).to(torch.uint8)[:, :, None, None]

    return Form(run, "float64 and float32", (0,))


def mean(layer: Layer) -> Form:
    """The sum over rows and columns, rounded once."""
    _, _, height, width = layer.inputs[0].spec.shape
    quant, count = grid(layer.output), height * width
    multiplier, shift = arithmetic.requantize_multiplier(mean_ratio(layer.inputs[0], layer.output))
    offset = -count * grid(layer.inputs[0]).zero_point
    rescale = Rescale(multiplier, shift, bound=255 * count, offset=offset, zero_point=quant.zero_point)

    def run(x: torch.Tensor) -> torch.Tensor:
        total = x.sum((2, 3), keepdim=True, dtype=torch.int64)
        return rescale.codes(total, quant.quant_min, quant.quant_max)

    return Form(run, f"int64 sum, {rescale.form} requantize", (0,))


def pad(layer: Layer) -> Form:
    """A frame of what stands for 0."""
    top, bottom, left, right = wholes(layer.node, "amounts")
    value = 0 if layer.output.quant is None else layer.output.quant.zero_point
    return Form(lambda x: functional.pad(x, (left, right, top, bottom), value=value), "moves", (0,))


def upsample_nearest(layer: Layer) -> Form:
    """Every element four times."""
    shape = layer.output.spec.shape

    def run(x: torch.Tensor) -> torch.Tensor:
        near = x.permute(0, 2, 3, 1)[:, :, None, :, None]
        n, channels, height, width = shape
        doubled = near.expand(n, height // 2, 2, width // 2, 2, channels).reshape(n, height, width, channels)
        return doubled.permute(0, 3, 1, 2)

    return Form(run, "moves", (0,))


def upsample_bilinear(layer: Layer) -> Form:
    """Columns, then rows, each rounded half up to whole codes."""
    return Form(lambda x: _doubled(_doubled(x, 3), 2), "int16", (0,))


def _doubled(x: torch.Tensor, axis: int) -> torch.Tensor:
    last = x.shape[axis] - 1
    near = x.to(torch.int16)
    before = torch.cat([near.narrow(axis, 0, 1), near.narrow(axis, 0, last)], axis)
    after = torch.cat([near.narrow(axis, 1, last), near.narrow(axis, last, 1)], axis)
    triple = near.mul_(3).add_(2)
    halves = [(triple + other).bitwise_right_shift_(2).to(torch.uint8) for other in (before, after)]
    # between the two of a pair, along the axis
    return torch.stack(halves, axis + 1).flatten(axis, axis + 1)
