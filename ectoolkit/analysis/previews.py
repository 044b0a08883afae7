"""What a change of one layer would do, from statistics alone: quick enough to follow a hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ectoolkit.analysis.histograms import find_layer, grid_range, has_own_grid
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import GraphError, QuantizationError
from ectoolkit.quantization.derivation import range_settings
from ectoolkit.quantization.distribution import Distribution
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.grids import activation_grid
from ectoolkit.quantization.prediction import Prediction, grid_noise


@dataclass(frozen=True)
class Preview:
    """One layer as it would be.

    Attributes:
        layer: or input of the network.
        grid: of its output.
        prediction: of its isolated error, the same numbers as the ``predicted_…`` columns after the change.
        clipped_low, clipped_high: shares of values beyond the grid's ends, more than half a step.
        images: whose values these are: all that calibration saw, where `measure` looks at a few.
    """

    layer: str
    grid: QuantParams
    prediction: Prediction
    clipped_low: float
    clipped_high: float
    images: int


def preview(model: ExportedModel, layer: str, **changes: Any) -> Preview:
    """What ``tune(layer, **changes)`` would make of the layer's output; nothing is changed.

    Args:
        model: what calibration and settings gave.
        layer: name of a layer or an input of the network that has a grid of its own.
        **changes: fields of `ectoolkit.LayerConfig` that concern its output.

    Raises:
        GraphError: there is no such layer, or it has no grid of its own.
        QuantizationError: there is no such setting, the value is none of those allowed, or it concerns the weights.
    """
    find_layer(model, layer)
    other = [name for name in changes if name in ("weights", "weight_bits", "keep_float")]
    if other:
        raise QuantizationError(f"{other[0]} has no preview, which is of a layer's output; use flow.quantize.tune(...)")
    if not has_own_grid(model, layer):
        raise GraphError(f"layer {layer} has no grid of its own: it runs in float, or keeps that of a layer before it")
    config = model.config.tuned(layer, **changes)
    settings = range_settings(model.network, config, layer)
    statistics = model.statistics.tensors[layer]
    grid = activation_grid(statistics, settings)
    before = model.predictions[layer]
    prediction = Prediction(before.signal, *grid_noise(statistics, grid), before.weights)
    (low, high), half = grid_range(grid), float(grid.scalar) / 2
    below, above = Distribution.of(statistics).saturated(low - half, high + half)
    return Preview(layer, grid, prediction, below, above, model.calibration_images)
