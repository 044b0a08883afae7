"""avg_pool2d: mean of each window of raw codes, truncated: ``floor(Σq / n)``; the grid stays.

The frame has the code of real 0.  n counts it where ``count_frame``, and else only what lies inside the input.

Found by black-box tests of MERA 1.6.0: equal in 25,056 of 25,056 elements (windows 2×2 to 5×5, strides, padding, odd
sizes, three zero points).  One difference is theirs alone: their frame has code 0 whatever the zero point is, so that
real numbers far below 0 enter the mean; the importer names the layers where that matters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, grid, pair, same_grid


class AvgPool2d(Op):
    """Input: uint8 NCHW.  Output: uint8 NCHW on the same grid."""

    name = "avg_pool2d"
    arity = 1
    rank = 4
    input_dtypes = (("uint8",),)
    attributes = ("kernel", "stride", "padding", "count_frame")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        n, channels, *extents = inputs[0].spec.shape
        kernel, stride, padding = (pair(node, name) for name in ("kernel", "stride", "padding"))
        expect(
            all(2 * p <= k for p, k in zip(padding, kernel, strict=True)),
            node,
            f"padding {padding} is more than half the window {kernel}: a window could lie outside the input",
        )
        sizes = [(e + 2 * p - k) // s + 1 for e, p, k, s in zip(extents, padding, kernel, stride, strict=True)]
        expect(min(sizes) > 0, node, f"the window {kernel} is larger than the padded input {tuple(extents)}")
        return (n, channels, *sizes)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        zero = grid(output).zero_point if node.attributes["count_frame"] else 0
        totals = window_sums(node, arrays[0].astype(np.int64), zero, output.spec.shape[2:])
        return (totals // window_counts(node, arrays[0].shape[2:], output.spec.shape[2:])).astype(np.uint8)


def window_sums(node: Node, x: np.ndarray, frame: int, size: Sequence[int]) -> np.ndarray:
    """The sum of each window.

    Args:
        node: for its window.
        x: int64 ``(N, C, H, W)``.
        frame: what stands around it.
        size: rows and columns of the result.

    Returns:
        int64 ``(N, C, rows, columns)``.
    """
    (kh, kw), (sh, sw), (ph, pw) = (pair(node, name) for name in ("kernel", "stride", "padding"))
    rows, columns = size
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=frame)
    total = np.zeros((*x.shape[:2], rows, columns), np.int64)
    for i in range(kh):
        for j in range(kw):
            total += padded[:, :, i : i + sh * (rows - 1) + 1 : sh, j : j + sw * (columns - 1) + 1 : sw]
    return total


def window_counts(node: Node, extents: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """How many elements each window's sum is divided by: int64 ``(rows, columns)``."""
    kernel = pair(node, "kernel")
    if node.attributes["count_frame"]:
        return np.full(tuple(size), kernel[0] * kernel[1], np.int64)
    inside = np.ones((1, 1, *extents), np.int64)
    return window_sums(node, inside, 0, size)[0, 0]
