"""What may have happened to an input on its way, tried out: which mistake gives exactly the codes that were found?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.core import arithmetic
from ectoolkit.core.types import QuantParams, Rounding

if TYPE_CHECKING:
    from ectoolkit.data import Preprocess


def explain_input(
    images: np.ndarray, grid: QuantParams, codes: np.ndarray, preprocess: Preprocess | None = None
) -> str:
    """Name the mistake that gives the codes that a device has after quantizing its input.

    Args:
        images: float32, what the device should have been given; NCHW where 4-D.
        grid: of the codes.
        codes: of the device, shape of `images`.
        preprocess: the model's, where known: a second normalization can then be recognised.

    Returns:
        In words; empty where none of the known mistakes gives these codes in every element.
    """
    for name, wrong in mistakes(images, preprocess):
        found = arithmetic.quantize(wrong, grid.scalar, grid.zero_point, grid.quant_min, grid.quant_max)
        if np.array_equal(found, codes):
            return name
    for rounding in Rounding:
        scaled = np.clip(images * arithmetic.reciprocal_of(grid.scalar), -512, 512)
        moved = arithmetic.round_to_integer(scaled, rounding).astype(np.int64) + grid.zero_point
        if np.array_equal(np.clip(moved, grid.quant_min, grid.quant_max), codes):
            return f"the input was quantized with the rounding {rounding}"
    return ""


def mistakes(images: np.ndarray, preprocess: Preprocess | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Wrong versions of an input, each with what was done to it."""
    if images.ndim == 4:
        n, c, h, w = images.shape
        yield "the input's NHWC bytes were read as NCHW", images.transpose(0, 2, 3, 1).reshape(images.shape)
        yield "the input's NCHW bytes were read as NHWC", images.reshape(n, h, w, c).transpose(0, 3, 1, 2)
        yield "the input's channels were reversed (RGB and BGR)", images[:, ::-1]
        if h == w:
            yield "the input's rows and columns were swapped", images.swapaxes(2, 3)
        yield "the input was mirrored", images[..., ::-1]
        if preprocess is not None and c == len(preprocess.mean):
            mean, std = (np.array(v, np.float32)[:, None, None] for v in (preprocess.mean, preprocess.std))
            yield "the input was normalized a second time", (images - mean) / std
            yield "the input was not normalized", images * std + mean
            yield "the input was not scaled to 0..1 and not normalized", (images * std + mean) * np.float32(255)
    yield "the input was divided by 255 a second time", images / np.float32(255)
    yield "the input was multiplied by 255", images * np.float32(255)
    if len(images) > 1:
        yield "the images came one place late", np.roll(images, 1, axis=0)
    yield "the input was all zeros", np.zeros_like(images)
