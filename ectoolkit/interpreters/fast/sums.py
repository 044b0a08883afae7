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
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ectoolkit.interpreters.fast.layouts import channels_last

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

    def bound(self) -> np.ndarray:
        """The largest magnitude of each channel's sum, and of any part of it: int64 ``(O,)``."""
        return _reach(self.weight, self.zero_point).sum(axis=2).max(axis=0)


def _reach(weight: np.ndarray, zero_point: int) -> np.ndarray:
    """How far up and down each input channel can move a sum: int64 ``(2, O, C / groups)``."""
    wide = weight.astype(np.int32)
    up = np.maximum(wide, 0).sum(axis=(2, 3), dtype=np.int64)
    down = up - wide.sum(axis=(2, 3), dtype=np.int64)
    return np.stack([up * (255 - zero_point) + down * zero_point, down * (255 - zero_point) + up * zero_point])


def parts_of(convolution: Convolution) -> list[slice] | None:
    """Ranges of input channels whose sums float32 holds; None where there are none: groups, or too large a kernel."""
    reach = _reach(convolution.weight, convolution.zero_point)
    if reach.sum(axis=2).max() <= EXACT:
        return [slice(0, reach.shape[2])]
    if convolution.groups > 1 or reach.max() > EXACT:
        return None
    total, begins = np.cumsum(reach, axis=2), [0]
    while True:
        before = total[:, :, begins[-1] - 1 : begins[-1]] if begins[-1] else 0
        beyond = np.flatnonzero(((total - before).max(axis=(0, 1)) > EXACT)[begins[-1] :])
        if not beyond.size:
            ends = [*begins[1:], reach.shape[2]]
            return [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
        begins.append(begins[-1] + int(beyond[0]))


def make_sums(convolution: Convolution, method: str) -> tuple[Sums, str]:
    """The sums of a convolution by a method, and what it is called.

    Args:
        convolution: the layer.
        method: ``"int8"``, ``"float32"`` or ``"float64"``; the last where the others cannot hold the sums.
    """
    parts = parts_of(convolution)
    if parts is None or method == "float64":
        return _float(convolution, slice(None), torch.float64), "float64"
    made = [
        _int8(convolution, part) if method == "int8" else _float(convolution, part, torch.float32) for part in parts
    ]
    if len(made) == 1:
        return made[0], method
    return _added(made, parts), f"{method} in {len(made)} parts"


def _added(made: list[Sums], parts: list[slice]) -> Sums:
    def sums(x: torch.Tensor) -> torch.Tensor:
        total = made[0](x[:, parts[0]]).to(torch.int32)
        for one, part in zip(made[1:], parts[1:], strict=True):
            total += one(x[:, part]).to(torch.int32)
        return total

    return sums


def _int8(convolution: Convolution, part: slice) -> Sums:
    """By oneDNN; the weights are brought into its own layout once."""
    weight = torch.from_numpy(np.ascontiguousarray(convolution.weight[:, part]))
    stride, padding, dilation = list(convolution.stride), list(convolution.padding), list(convolution.dilation)
    zero_point, groups = convolution.zero_point, convolution.groups
    ones, zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int32)
    n, _, height, width = convolution.shape
    given = [n, weight.shape[1] * groups, height, width]
    packed = torch.ops.onednn.qconv_prepack(weight, ones, 1.0, zero_point, stride, padding, dilation, groups, given)
    steps = (stride, padding, dilation, groups)
    form = (1.0, 0, torch.float32, "none", [], "")

    def sums(x: torch.Tensor) -> torch.Tensor:
        return torch.ops.onednn.qconv2d_pointwise(
            channels_last(x), 1.0, zero_point, packed, ones, zeros, None, *steps, *form
        )

    return sums


def _float(convolution: Convolution, part: slice, dtype: torch.dtype) -> Sums:
    weight = torch.from_numpy(np.ascontiguousarray(convolution.weight[:, part])).to(dtype)
    weight = channels_last(weight)
    steps = (convolution.stride, convolution.padding, convolution.dilation, convolution.groups)

    def sums(x: torch.Tensor) -> torch.Tensor:
        centred = channels_last(x).to(dtype).sub_(convolution.zero_point)
        made = functional.conv2d(centred, weight, None, *steps)
        return made if dtype == torch.float32 else made.to(torch.int32)

    return sums
