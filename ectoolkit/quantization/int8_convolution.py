"""Convolutions with int8 weights by the processor's int8 instructions: exact sums, several times as fast as float32.

oneDNN's int8 kernels saturate int16 sums on processors without VNNI and are silently wrong there; so the interpreter's
self-test is asked once in each process, and where it fails nobody uses them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.ops.convolution import has_empty_windows
from ectoolkit.core.types import QuantParams
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.quantization.scheme import WeightScheme

#: steps of the 16-bit grid between a tensor's smallest and largest value; the rest is room to put 0 on a whole byte
STEPS = 0xFEFF
#: weights times positions of one image below which float32 is as fast
LEAST_PRODUCTS = 1 << 22
#: elements turned into bytes at once: they stay in the cache
BLOCK = 1 << 16


@functools.cache
def available() -> bool:
    """True where torch has oneDNN's int8 convolution and its largest sums are exact on this processor."""
    try:
        from ectoolkit.interpreters.fast.self_test import is_exact
    except ModuleNotFoundError:  # no torch
        return False
    return is_exact("int8")


class Int8Convolution:
    """One layer's convolution with its quantized weights.

    Attributes:
        weight: the codes and scales.
    """

    def __init__(self, layer: FloatLayer, weight: WeightScheme) -> None:
        self.weight = weight
        a: Any = layer.attributes
        self._geometry = ([*a["stride"]], [*a["padding"]], [*a["dilation"]], a["groups"])
        self._padded = any(a["padding"])
        self._ready: dict[tuple[int, tuple[int, ...]], Any] = {}

    @staticmethod
    def fits(layer: FloatLayer, x: Any) -> bool:
        """True where a convolution of this input gains by it, and oneDNN is right: depthwise and small ones do not."""
        if layer.op != "conv2d" or layer.weight is None or layer.attributes["groups"] != 1:
            return False
        rows, columns = x.shape[2:]
        steps: Any = [layer.attributes[name] for name in ("stride", "padding", "dilation")]
        if has_empty_windows((rows, columns), layer.weight.shape[2:], *steps):  # see `interpreters.fast.sums`
            return False
        return layer.weight.size * rows * columns >= LEAST_PRODUCTS and available()

    def of_codes(self, x: Any, grid: QuantParams, bias: Any) -> Any:
        """The sums for values that lie on a grid, in real units; exact but for the last float32 rounding.

        Args:
            x: torch float32 ``(N, C, H, W)``, on the grid.
            grid: of uint8 codes.
            bias: torch float32 ``(out_channels,)`` or None.

        Returns:
            torch float32 ``(N, out_channels, H', W')``, channels last in memory.
        """
        scale, zero_point = float(grid.scalar), int(grid.zero_point)
        (codes,) = _bytes(x, scale, zero_point, 1)
        return self._run(codes, scale, zero_point, bias)

    def of_reals(self, x: Any, bias: Any) -> Any:
        """The sums for any values, taken as 16-bit codes of their whole range: two bytes, two convolutions.

        The inputs' rounding is 2⁻¹⁷ of their range, some 50 dB below what rounding to 8 bits makes: over the many
        results of a layer that `fits`, sums of errors are those of exact inputs to 1e-4 of themselves.
        """
        torch = require("torch", feature="Simulating a quantized network")
        x = x.contiguous(memory_format=torch.channels_last)
        flat = x.permute(0, 2, 3, 1).view(-1)  # in the order of memory: torch looks through others ten times as long
        low, high = min(float(flat.amin()), 0.0), max(float(flat.amax()), 0.0)
        step = max((high - low) / STEPS, float(np.finfo(np.float32).tiny))
        zero = int(-(low // (256 * step)))  # of the upper byte
        lower, upper = _bytes(x, step, 256 * zero, 2)
        return self._run(lower, step, 0, None, self._run(upper, 256 * step, zero, bias))

    def _run(self, codes: Any, scale: float, zero_point: int, bias: Any, onto: Any = None) -> Any:
        """`onto`: sums that these are added to, in place."""
        torch = require("torch", feature="Simulating a quantized network")
        scales = torch.from_numpy(self.weight.scales)
        if zero_point and not self._padded:
            # kernels without padding are slow with a zero point, which is a constant there
            sums = torch.from_numpy(self.weight.codes.sum((1, 2, 3), dtype=np.int64))
            constant = (sums.double() * (-zero_point * scale) * scales).float()
            bias, zero_point = constant if bias is None else bias + constant, 0
        key = (zero_point, tuple(codes.shape))
        if key not in self._ready:
            weight = torch.tensor(self.weight.codes)
            self._ready[key] = _packed(torch, weight, zero_point, self._geometry, codes.shape)
        return _run(torch, codes, scale, zero_point, self._ready[key], scales, bias, self._geometry, onto)


_Geometry = tuple[list[int], list[int], list[int], int]


def _packed(torch: Any, codes: Any, zero_point: int, geometry: _Geometry, shape: Sequence[int]) -> Any:
    """In the order that the kernel for inputs of this shape wants, which else moves them at each call."""
    scales = torch.ones(len(codes))
    return torch.ops.onednn.qconv_prepack(codes, scales, 1.0, zero_point, *geometry, list(shape))


def _run(
    torch: Any,
    x: Any,
    scale: float,
    zero_point: int,
    packed: Any,
    scales: Any,
    bias: Any,
    geometry: _Geometry,
    onto: Any = None,
) -> Any:
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    inputs = (x, scale, zero_point, packed, scales, zeros)
    convolution = torch.ops.onednn.qconv2d_pointwise
    if onto is None:
        return convolution(*inputs, bias, *geometry, 1.0, 0, torch.float32, "none", [], "")
    return convolution.binary(*inputs, onto, bias, *geometry, 1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, "none", [], "")


def _bytes(x: Any, step: float, zero_point: int, count: int) -> Sequence[Any]:
    """The bytes of each value's code, the lowest first: torch uint8 of x's shape, channels last."""
    torch = require("torch", feature="Simulating a quantized network")
    x = x.contiguous(memory_format=torch.channels_last)
    found = [torch.empty_like(x, dtype=torch.uint8) for _ in range(count)]
    flat, *targets = (tensor.permute(0, 2, 3, 1).view(-1) for tensor in (x, *found))
    scratch = torch.empty(2, min(BLOCK, len(flat)))
    factor = float(np.float32(1) / np.float32(step))
    for part, *bytes_ in zip(flat.split(BLOCK), *(target.split(BLOCK) for target in targets), strict=True):
        codes, upper = scratch[:, : len(part)]
        torch.mul(part, factor, out=codes).round_()
        if zero_point:
            codes.add_(zero_point)
        if count == 2:
            torch.mul(codes, 1 / 256, out=upper).floor_()
            bytes_[1].copy_(upper)
            codes.sub_(upper, alpha=256)
        bytes_[0].copy_(codes)
    return found
