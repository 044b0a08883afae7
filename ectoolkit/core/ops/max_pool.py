"""max_pool2d: the largest element of each window; positions outside the input do not take part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, pair, same_grid


class MaxPool2d(Op):
    """Input: uint8 or float32 NCHW.  Output: the same on the same grid."""

    name = "max_pool2d"
    arity = 1
    rank = 4
    input_dtypes = (("uint8", "float32"),)
    output_dtypes = ("uint8", "float32")
    attributes = ("kernel", "stride", "padding", "dilation", "ceil_mode")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        n, channels, *extents = inputs[0].spec.shape
        kernel, padding = pair(node, "kernel"), pair(node, "padding")
        expect(
            all(2 * p <= k for p, k in zip(padding, kernel, strict=True)),
            node,
            f"padding {padding} is more than half the window {kernel}: a window could lie outside the input",
        )
        sizes = [self._extent(node, axis, extent) for axis, extent in enumerate(extents)]
        expect(min(sizes) > 0, node, f"the window {kernel} is larger than the padded input {tuple(extents)}")
        return (n, channels, *sizes)

    @staticmethod
    def _extent(node: Node, axis: int, extent: int) -> int:
        kernel, stride, padding, dilation = (
            pair(node, name)[axis] for name in ("kernel", "stride", "padding", "dilation")
        )
        span = extent + 2 * padding - dilation * (kernel - 1) - 1
        size = (span + (stride - 1 if node.attributes["ceil_mode"] else 0)) // stride + 1
        # torch's rule: the last window must begin inside the input or its leading padding
        return size - 1 if node.attributes["ceil_mode"] and (size - 1) * stride >= extent + padding else size

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        x = arrays[0]
        (kh, kw), (sh, sw) = pair(node, "kernel"), pair(node, "stride")
        (ph, pw), (dh, dw) = pair(node, "padding"), pair(node, "dilation")
        n, channels, height, width = x.shape
        _, _, rows, columns = self.output_shape(node, inputs)
        # 0 never wins a maximum of unsigned codes; wide enough for the windows that ceil_mode adds
        least = 0 if x.dtype == np.uint8 else -np.inf
        tall, wide = sh * (rows - 1) + dh * (kh - 1) + 1, sw * (columns - 1) + dw * (kw - 1) + 1
        padded = np.full((n, channels, max(tall, height + ph), max(wide, width + pw)), least, x.dtype)
        padded[:, :, ph : ph + height, pw : pw + width] = x
        result = np.full((n, channels, rows, columns), least, x.dtype)
        for i in range(kh):
            for j in range(kw):
                top, left = i * dh, j * dw
                window = padded[:, :, top : top + sh * (rows - 1) + 1 : sh, left : left + sw * (columns - 1) + 1 : sw]
                np.maximum(result, window, out=result)
        return result
