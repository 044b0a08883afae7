"""conv_transpose2d: the convolution that enlarges, as zeros between the elements and a convolution with stride 1.

The elements are moved apart by the stride, what lies between and around them has the value z_in, and over that goes
the convolution of `ectoolkit.core.ops.convolution`.  The weight is that convolution's: OIHW, flipped in rows and
columns against torch's ``(in, out / groups, KH, KW)``; `as_convolution` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, grid, pair, whole, wholes
from ectoolkit.core.ops.convolution import check_accumulator, convolve, requantized

ATTRIBUTES = ("stride", "padding", "output_padding", "dilation", "groups")


class ConvTranspose2d(Op):
    """Inputs: x uint8 NCHW, weight int8 OIHW, bias int32 C.  Output: uint8 NCHW."""

    name = "conv_transpose2d"
    arity = 3
    rank = 4
    input_dtypes = (("uint8",), ("int8",), ("int32",))
    attributes = (*ATTRIBUTES, "relu")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        return enlarged_shape(node, inputs[0].spec.shape, inputs[1].spec.shape)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        x, weight, bias = inputs
        check_accumulator(node, x, weight, bias, output, constants)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, weight, bias = arrays
        centred = x.astype(np.float64) - grid(inputs[0]).zero_point
        acc = enlarge(node, centred, weight.astype(np.float64)).astype(np.int64) + bias[:, None, None].astype(np.int64)
        return requantized(node, acc, inputs[2], output)

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        """Those of torch's form, which skips the zeros."""
        o, _, kh, kw = inputs[1].spec.shape
        return inputs[0].spec.size * kh * kw * (o // whole(node, "groups"))


def as_convolution(weight: np.ndarray, groups: int) -> np.ndarray:
    """torch's ``(in, out / groups, KH, KW)`` as ``(out, in / groups, KH, KW)``, flipped."""
    channels, per_group, kh, kw = weight.shape
    split = weight.reshape(groups, channels // groups, per_group, kh, kw)[..., ::-1, ::-1]
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(groups * per_group, channels // groups, kh, kw))


def frame_of(node: Node, kernel: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows before and after, columns before and after, of the frame around the spread elements."""
    (ph, pw), (dh, dw) = pair(node, "padding"), pair(node, "dilation")
    more = wholes(node, "output_padding")
    expect(len(more) == 2 and min(more) >= 0, node, f"output_padding is {more}, expected two numbers from 0")
    top, left = dh * (kernel[0] - 1) - ph, dw * (kernel[1] - 1) - pw
    fits = min(top, left) >= 0
    expect(
        fits, node, f"padding {ph, pw} is more than its kernel {kernel} reaches; expected at most {top + ph, left + pw}"
    )
    return (top, top + more[0]), (left, left + more[1])


def enlarged_shape(node: Node, x: tuple[int, ...], weight: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the result for an input ``(N, C, H, W)`` and a weight ``(O, C / groups, KH, KW)``."""
    n, channels, height, width = x
    groups = whole(node, "groups")
    fits = len(weight) == 4 and groups > 0 and channels == weight[1] * groups and weight[0] % groups == 0
    expect(fits, node, f"weight {weight} with {groups} groups does not fit {channels} input channels")
    (sh, sw), (dh, dw) = pair(node, "stride"), pair(node, "dilation")
    (top, bottom), (left, right) = frame_of(node, (weight[2], weight[3]))
    rows = (height - 1) * sh + 1 + top + bottom - dh * (weight[2] - 1)
    columns = (width - 1) * sw + 1 + left + right - dw * (weight[3] - 1)
    expect(min(rows, columns) > 0, node, f"makes {rows} rows and {columns} columns of {x}; expected at least one")
    return n, weight[0], rows, columns


def enlarge(node: Node, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The sums in float64: x ``(N, C, H, W)`` with its zero point taken off, weight ``(O, C / groups, KH, KW)``."""
    n, channels, height, width = x.shape
    sh, sw = pair(node, "stride")
    (top, bottom), (left, right) = frame_of(node, weight.shape[2:])
    spread = np.zeros((n, channels, (height - 1) * sh + 1 + top + bottom, (width - 1) * sw + 1 + left + right))
    spread[:, :, top : spread.shape[2] - bottom : sh, left : spread.shape[3] - right : sw] = x
    return convolve(spread, weight, (1, 1), (0, 0), pair(node, "dilation"), whole(node, "groups"))
