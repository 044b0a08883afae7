"""conv2d: dense, grouped and depthwise convolution with ReLU in its clamp.

    acc = Σ w · (x - z_in) + bias                        int32, padding has the value z_in
    q   = clip(R(acc, s_in · s_w / s_out) + z_out, lo, quant_max)    lo = z_out under ReLU, else 0

R is `ectoolkit.core.arithmetic.requantize`.  An output of dtype int32 is the raw accumulator: so a convolution that
feeds a residual add hands over its sum before any rounding, as the accelerator does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, codes, expect, grid, pair, whole
from ectoolkit.errors import VerificationError


class Conv2d(Op):
    """Inputs: x uint8 NCHW, weight int8 OIHW, bias int32 C.  Output: uint8 or int32 NCHW."""

    name = "conv2d"
    arity = 3
    rank = 4
    input_dtypes = (("uint8",), ("int8",), ("int32",))
    attributes = ("stride", "padding", "dilation", "groups", "relu")
    output_dtypes = ("uint8", "int32")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        n, channels, height, width = inputs[0].spec.shape
        weight, groups = inputs[1].spec.shape, whole(node, "groups")
        expect(
            len(weight) == 4 and groups > 0 and channels == weight[1] * groups and weight[0] % groups == 0,
            node,
            f"weight {weight} with {groups} groups does not fit {channels} input channels",
        )
        out_channels, _, kernel_h, kernel_w = weight
        (sh, sw), (ph, pw), (dh, dw) = pair(node, "stride"), pair(node, "padding"), pair(node, "dilation")
        rows = (height + 2 * ph - dh * (kernel_h - 1) - 1) // sh + 1
        columns = (width + 2 * pw - dw * (kernel_w - 1) - 1) // sw + 1
        expect(
            rows > 0 and columns > 0,
            node,
            f"a {kernel_h}×{kernel_w} kernel with dilation {dh, dw} is larger than its padded input "
            f"{height + 2 * ph}×{width + 2 * pw}",
        )
        return n, out_channels, rows, columns

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        x, weight, bias = inputs
        expect(
            output.spec.dtype != "int32" or not node.attributes["relu"],
            node,
            "a raw int32 accumulator cannot have passed a ReLU",
        )
        check_accumulator(node, x, weight, bias, output, constants)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x, weight, bias = arrays
        acc = accumulate(node, x, weight, grid(inputs[0]).zero_point) + bias[:, None, None].astype(np.int64)
        if output.spec.dtype == "int32":
            return acc.astype(np.int32)
        return requantized(node, acc, inputs[2], output)

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        return output.spec.size * int(np.prod(inputs[1].spec.shape[1:]))


def check_accumulator(
    node: Node, x: Value, weight: Value, bias: Value, output: Value, constants: Sequence[np.ndarray | None]
) -> None:
    """The laws that conv2d and linear share: bias on the grid s_in·s_w, an accumulator that stays within int32.

    Raises:
        VerificationError: one of them is broken.
        QuantizationError: the requantize ratio cannot be represented.
    """
    expected = arithmetic.bias_scale(grid(x).scalar, grid(weight).scale)
    expect(grid(weight).axis == 0 and grid(weight).zero_point == 0, node, "weights need a scale per output channel")
    expect(
        np.array_equal(grid(bias).scale, expected),
        node,
        f"the bias must lie on the grid input scale × weight scale, got {grid(bias)}",
    )
    weight_codes, bias_codes = constants[1], constants[2]
    if weight_codes is None or bias_codes is None:
        raise VerificationError(f"layer {node.name} ({node.op}): weight and bias must be constants of the graph")
    bound = arithmetic.accumulator_bound(weight_codes, bias_codes)
    expect(
        bool((bound <= arithmetic.INT32_MAX).all()),
        node,
        f"channel {int(bound.argmax())}'s accumulator can reach {int(bound.max())}, more than int32 holds "
        f"({arithmetic.INT32_MAX}); use narrower weights (fewer bits) or split the layer's input channels",
    )
    if output.spec.dtype == "int32":
        expect(np.array_equal(grid(output).scale, expected), node, "a raw accumulator keeps its bias's scale")
    else:
        arithmetic.requantize_multiplier(accumulator_ratio(bias, output), node.name)


def accumulator_ratio(bias: Value, output: Value) -> np.ndarray:
    """float64 ``(channels,)``: the accumulator's scale over the output's."""
    return grid(bias).scale.astype(np.float64) / np.float64(grid(output).scale)


def requantized(node: Node, acc: np.ndarray, bias: Value, output: Value) -> np.ndarray:
    """Sums ``(N, O, rows, columns)`` as the output's codes, cut at its ends, under ReLU at its zero point."""
    multiplier, shift = arithmetic.requantize_multiplier(accumulator_ratio(bias, output), node.name)
    rounded = arithmetic.requantize(acc, multiplier[:, None, None], shift[:, None, None])
    return codes(rounded, grid(output), relu=bool(node.attributes["relu"]))


def accumulate(node: Node, x: np.ndarray, weight: np.ndarray, zero_point: int) -> np.ndarray:
    """Σ w·(x - z).

    Args:
        node: the convolution, for its stride, padding, dilation and groups.
        x: uint8 ``(N, C, H, W)``.
        weight: int8 ``(O, C / groups, KH, KW)``.
        zero_point: the input's.

    Returns:
        int64 ``(N, O, rows, columns)``.  Exact: float64 sums of integers below 2**53 (the verifier proves 2**31).
    """
    centred = x.astype(np.float64) - zero_point
    steps = (pair(node, "stride"), pair(node, "padding"), pair(node, "dilation"))
    return convolve(centred, weight.astype(np.float64), *steps, whole(node, "groups")).astype(np.int64)


def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """A convolution in float64, one kernel tap at a time, padded with zeros.

    Args:
        x: float64 ``(N, C, H, W)``.
        weight: float64 ``(O, C / groups, KH, KW)``.
        stride, padding, dilation: rows, columns.
        groups: of channels.
    """
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    n, channels, height, width = x.shape
    out_channels, per_group, kernel_h, kernel_w = weight.shape
    rows = (height + 2 * ph - dh * (kernel_h - 1) - 1) // sh + 1
    columns = (width + 2 * pw - dw * (kernel_w - 1) - 1) // sw + 1
    centred = np.zeros((n, channels, height + 2 * ph, width + 2 * pw), np.float64)
    centred[:, :, ph : ph + height, pw : pw + width] = x
    taps = weight.reshape(1, groups, out_channels // groups, per_group, kernel_h, kernel_w)
    acc = np.zeros((n, groups, out_channels // groups, rows * columns), np.float64)
    for i in range(kernel_h):
        for j in range(kernel_w):
            top, left = i * dh, j * dw
            window = centred[:, :, top : top + sh * (rows - 1) + 1 : sh, left : left + sw * (columns - 1) + 1 : sw]
            window = window.reshape(n, groups, per_group, rows * columns)
            tap = taps[..., i, j]
            acc += tap * window if per_group == 1 else tap @ window
    return acc.reshape(n, out_channels, rows, columns)


def has_empty_windows(
    extents: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> bool:
    """Whether some window of a convolution sees padding only: beside the input, or by its dilation on both sides of it.

    Args:
        extents: rows, columns of the input.
        kernel: rows, columns.
        stride, padding, dilation: rows, columns.
    """
    axes = zip(extents, kernel, stride, padding, dilation, strict=True)
    return any(_has_empty_windows(*axis) for axis in axes)


def _has_empty_windows(extent: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    begins = np.arange(-padding, extent + padding - dilation * (kernel - 1), stride)
    taps = begins[:, None] + dilation * np.arange(kernel)
    return not ((taps >= 0) & (taps < extent)).any(axis=1).all()
