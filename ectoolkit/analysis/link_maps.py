"""Where one layer differs between two ways of computing it: over images, channels and positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.core.interpreter import Trace
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image", "mismatches", "elements", "max_abs", "mean_abs")


@dataclass(frozen=True, eq=False)
class ErrorMap:
    """Differences of a layer.

    Attributes:
        layer: its name.
        source, target: the two ways, as in the verdict: ``"interpreter"`` and ``"xrt:0"``.
        unit: ``"codes"``; ``"steps of the grid"`` where one side has real numbers; empty where the layer has no grid.
        differences: target - source in `unit`, ``(images, channels, h, w)``; h and w are 1 where the layer is flat.
    """

    layer: str
    source: str
    target: str
    unit: str
    differences: np.ndarray

    @property
    def title(self) -> str:
        """In one line."""
        return f"{self.layer}: {self.target} - {self.source}" + (f", {self.unit}" if self.unit else "")

    def by_channel(self) -> np.ndarray:
        """The largest absolute difference of each image and channel, float64 ``(images, channels)``."""
        return np.abs(self.differences).max(axis=(2, 3)).astype(np.float64)

    def positions(self, image: int, channel: int | None = None) -> np.ndarray:
        """The largest absolute difference at each position, float64 ``(h, w)``.

        Args:
            image: which.
            channel: of this channel alone; over all where None.

        Raises:
            InputError: there is no such image or channel.
        """
        for what, index, count in zip(("image", "channel"), (image, channel), self.differences.shape, strict=False):
            if index is not None and not 0 <= index < count:
                raise InputError(f"{self.layer} has no {what} {index}; expected 0 to {count - 1}")
        chosen = self.differences[image] if channel is None else self.differences[image, channel : channel + 1]
        return np.abs(chosen).max(axis=0).astype(np.float64)

    def to_frame(self) -> pd.DataFrame:
        """One row an image.

        Columns: ``image`` number; ``mismatches`` of ``elements``; ``max_abs`` and ``mean_abs`` difference in `unit`.
        """
        rows = []
        for index, one in enumerate(self.differences):
            size = np.abs(one)
            numbers = (int((one != 0).sum()), one.size, float(size.max()), float(size.mean()))
            rows.append(dict(zip(COLUMNS, (index, *numbers), strict=True)))
        return frame(rows, COLUMNS)

    def __repr__(self) -> str:
        differing = int((self.differences != 0).sum())
        return f"ErrorMap({self.layer}, {self.source} → {self.target}, {differing} of {self.differences.size} differ)"


def map_of_codes(reference: Trace, layer: str, codes: np.ndarray, target: str) -> ErrorMap:
    """The interpreter against another integer way.

    Args:
        reference: of the interpreter.
        layer: its name.
        codes: of the other, shape of the layer.
        target: name of the other.

    Raises:
        InputError: another shape.
    """
    expected = reference[layer]
    _require_shape(layer, codes, expected)
    if expected.dtype.kind in "iu":
        return ErrorMap(layer, "interpreter", target, "codes", _flat(codes.astype(np.int64) - expected))
    return ErrorMap(layer, "interpreter", target, "", _flat(codes.astype(np.float64) - expected))


def map_of_float(reference: Trace, layer: str, values: np.ndarray) -> ErrorMap:
    """The float model against the interpreter: what quantization did up to here, in steps of the layer's grid.

    Args:
        reference: of the interpreter.
        layer: its name.
        values: of the float model there, shape of the layer.

    Raises:
        InputError: another shape.
    """
    real = reference.real(layer).astype(np.float64)
    _require_shape(layer, values, real)
    difference, quant = real - values, reference.graph.values[layer].quant
    if quant is None:
        return ErrorMap(layer, "float", "interpreter", "", _flat(difference))
    scale = quant.scale if quant.axis is None else quant.scale.reshape(-1, *[1] * (real.ndim - 2))
    return ErrorMap(layer, "float", "interpreter", "steps of the grid", _flat(difference / scale))


def _require_shape(layer: str, found: np.ndarray, expected: np.ndarray) -> None:
    if found.shape != expected.shape:
        raise InputError(f"{layer} has shape {found.shape}, expected {expected.shape}, as the interpreter has it")


def _flat(difference: np.ndarray) -> np.ndarray:
    """``(images, channels, h, w)``."""
    return difference.reshape(*difference.shape[:2], *([1] * (4 - difference.ndim)), *difference.shape[2:])
