"""upsample_nearest and upsample_bilinear by a factor of two; the grid stays.

Nearest copies.  Bilinear (half-pixel centres) works along columns first, then along rows, and each step ends in an
integer, half up: ``(near · 3 + far + 2) >> 2``; at the border the outer neighbour is the border itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, same_grid


class _Upsample2x(Op):
    arity = 1
    rank = 4
    input_dtypes: ClassVar[tuple[tuple[str, ...], ...]] = (("uint8",),)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        n, channels, height, width = inputs[0].spec.shape
        return n, channels, 2 * height, 2 * width

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)


class UpsampleNearest(_Upsample2x):
    """Input: uint8 or float32 NCHW.  Output: the same, twice the rows and columns."""

    name = "upsample_nearest"
    input_dtypes = (("uint8", "float32"),)
    output_dtypes = ("uint8", "float32")

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return arrays[0].repeat(2, axis=2).repeat(2, axis=3)


class UpsampleBilinear(_Upsample2x):
    """Input: uint8 NCHW.  Output: uint8 NCHW, twice the rows and columns."""

    name = "upsample_bilinear"

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return _double(_double(arrays[0], 3), 2)


def _double(x: np.ndarray, axis: int) -> np.ndarray:
    """Twice the samples along an axis: uint8 to uint8."""
    near = np.moveaxis(x, axis, -1).astype(np.int32)
    before = np.concatenate([near[..., :1], near[..., :-1]], axis=-1)
    after = np.concatenate([near[..., 1:], near[..., -1:]], axis=-1)
    doubled = np.stack([(3 * near + before + 2) >> 2, (3 * near + after + 2) >> 2], axis=-1)
    return np.moveaxis(doubled.reshape(*near.shape[:-1], -1), -1, axis).astype(np.uint8)
