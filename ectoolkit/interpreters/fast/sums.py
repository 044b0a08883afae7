"""Σ w · (x - z) of a convolution, exactly, three ways.

| | how | why it is exact |
|---|---|---|
| int8 | oneDNN's int8 convolution | int32 within, where the CPU adds products in 32 bits; the sum leaves as float32 |
| float32 | torch's float convolution | codes and weights have 8 bits; every partial sum is a whole number below 2^24 |
| float64 | torch's float convolution | likewise, below 2^53 |

float32 holds whole numbers up to 2^24.  Where a layer's sums could be larger, by its own weights, its input channels
are divided so that no part's can, and the parts are added in int32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from ectoolkit.core.ops.convolution import has_empty_windows
from ectoolkit.interpreters.fast.layouts import channels_last, to_torch

#: whole numbers up to here are float32
EXACT = 2**24
#: raw sums ``(N, O, rows, columns)`` of codes ``(N, C, H, W)``: float32, or int32 where parts were added
Sums = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution on codes.

    Attributes:
        weight: int8 ``(O, C / groups, KH, KW)``.
        zero_point: the input's; what lies outside the input has it.
        shape: of the input, ``(N, C, H, W)``.
        stride, padding, dilation: rows, columns.
        groups: of channels.
    """

    weight: np.ndarray
    zero_point: int
    shape: tuple[int, ...]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @cached_property
    def weight_tensor(self) -> torch.Tensor:
        """The weight for torch."""
        return to_torch(self.weight)

    @cached_property
    def bound(self) -> np.ndarray:
        """The largest magnitude of each channel's sum, and of any part of it: int64 ``(O,)``."""
        return _reach(self.weight_tensor.flatten(1), self.zero_point).max(axis=0)


def _reach(weight: torch.Tensor, zero_point: int) -> np.ndarray:
    """How far up and down the last axis of weights can move a sum: int64 ``(2, ...)``."""
    up = weight.clamp(min=0).sum(-1, dtype=torch.int64)
    down = up - weight.sum(-1, dtype=torch.int64)
    reach = (up * (255 - zero_point) + down * zero_point, down * (255 - zero_point) + up * zero_point)
    return np.stack([side.numpy() for side in reach])


def parts_of(convolution: Convolution) -> list[slice] | None:
    """Ranges of input channels whose sums float32 holds; None where there are none: groups, or too large a kernel."""
    weight = convolution.weight_tensor
    if convolution.bound.max() <= EXACT:
        return [slice(0, weight.shape[1])]
    reach = _reach(weight.flatten(2), convolution.zero_point)
    if convolution.groups > 1 or reach.max() > EXACT:
        return None
    total, begins = np.cumsum(reach, axis=2), [0]
    while True:
        before = total[:, :, begins[-1] - 1 : begins[-1]] if begins[-1] else 0
        beyond = np.flatnonzero(((total - before).max(axis=(0, 1)) > EXACT)[begins[-1] :])
        if not beyond.size:
            return [slice(*ends) for ends in pairwise((*begins, weight.shape[1]))]
        begins.append(begins[-1] + int(beyond[0]))


def make_sums(convolution: Convolution, method: str, *, tried: bool = True) -> tuple[Sums, str]:
    """The sums of a convolution by a method, and what it is called.

    Args:
        convolution: the layer.
        method: ``"int8"``, ``"float32"`` or ``"float64"``; the last where the others cannot hold the sums, and where
            int8 does not come out right.
        tried: run int8 once on codes of the layer's own shape beside float64: oneDNN 3.12 is wrong for some shapes.
    """
    parts = parts_of(convolution)
    if parts is None or method == "float64":
        return _float(convolution, slice(None), torch.float64), "float64"
    made = [
        _int8(convolution, part) if method == "int8" else _float(convolution, part, torch.float32) for part in parts
    ]
    if method == "int8" and tried and not _come_out_right(convolution, parts, made):
        return _float(convolution, slice(None), torch.float64), "float64"
    if len(made) == 1:
        return made[0], method
    return _added(made, parts), f"{method} in {len(made)} parts"


def _come_out_right(convolution: Convolution, parts: list[slice], made: list[Sums]) -> bool:
    """Try int8 on codes of all kinds.  Seen to fail: one input channel, stride (1, 3), one column of results."""
    codes = np.random.default_rng(0).integers(0, 256, convolution.shape).astype(np.uint8)
    x = torch.from_numpy(codes)
    given = [x] if len(parts) == 1 else [x[:, part] for part in parts]
    return all(
        torch.equal(sums(one).to(torch.int32), _float(convolution, part, torch.float64)(one))
        for sums, part, one in zip(made, parts, given, strict=True)
    )


def _added(made: list[Sums], parts: list[slice]) -> Sums:
    def sums(x: torch.Tensor) -> torch.Tensor:
        total = made[0](x[:, parts[0]]).to(torch.int32)
        for one, part in zip(made[1:], parts[1:], strict=True):
            total += one(x[:, part]).to(torch.int32)
        return total

    return sums


def _int8(convolution: Convolution, part: slice) -> Sums:
    """By oneDNN; the weights are brought into its own layout once.

    Of windows that see padding only, oneDNN 3.12 makes garbage where the zero point is not 0 (seen with a 2×2 kernel
    and a padding of 2, and with a dilation of 3 over two columns padded by 1): there the frame is made before.
    """
    (ph, pw), (n, channels, height, width) = convolution.padding, convolution.shape
    steps = (convolution.stride, convolution.padding, convolution.dilation)
    if has_empty_windows((height, width), convolution.weight.shape[2:], *steps):
        inside = replace(convolution, padding=(0, 0), shape=(n, channels, height + 2 * ph, width + 2 * pw))
        framed, zero = _int8(inside, part), convolution.zero_point
        return lambda x: framed(functional.pad(channels_last(x), (pw, pw, ph, ph), value=zero))
    weight = convolution.weight_tensor[:, part].contiguous()
    stride, padding, dilation = list(convolution.stride), list(convolution.padding), list(convolution.dilation)
    zero_point, groups = convolution.zero_point, convolution.groups
    # from numpy: torch's own makers follow the user's default dtype and device
    ones = torch.from_numpy(np.ones(len(weight), np.float32))
    zeros = torch.from_numpy(np.zeros(len(weight), np.int32))
    given = [n, weight.shape[1] * groups, height, width]
    packed = torch.ops.onednn.qconv_prepack(weight, ones, 1.0, zero_point, stride, padding, dilation, groups, given)
    run = torch.ops.onednn.qconv2d_pointwise
    lists = (stride, padding, dilation, groups)
    # scale 1 and zero point 0 of the output, its dtype, no function after it
    output: tuple[object, ...] = (1.0, 0, torch.float32, "none", [], "")
    return lambda x: run(channels_last(x), 1.0, zero_point, packed, ones, zeros, None, *lists, *output)


def _float(convolution: Convolution, part: slice, dtype: torch.dtype) -> Sums:
    weight = channels_last(convolution.weight_tensor[:, part].to(dtype))
    steps = (convolution.stride, convolution.padding, convolution.dilation, convolution.groups)

    def sums(x: torch.Tensor) -> torch.Tensor:
        centred = channels_last(x).to(dtype).sub_(convolution.zero_point)
        made = functional.conv2d(centred, weight, None, *steps)
        return made if dtype == torch.float32 else made.to(torch.int32)

    return sums
