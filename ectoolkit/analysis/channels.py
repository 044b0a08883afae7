"""One row an output channel of a layer: what it holds and what its grid makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ectoolkit._optional import require
from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.measurement import Measurement, isolated, require_same
from ectoolkit.analysis.weights import channel_powers
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import GraphError
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.simulation import Simulator

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "channel": "int64",
    "minimum": "float64",
    "maximum": "float64",
    "mean": "float64",
    "codes_used": "float64",
    "weight_minimum": "float64",
    "weight_maximum": "float64",
    "weight_scale": "float64",
    "weight_sqnr_db": "float64",
}


def channel_table(model: ExportedModel, layer: str, measurement: Measurement | None = None) -> pd.DataFrame:
    """The output channels of a layer.

    Args:
        model: what calibration and settings gave.
        layer: name.
        measurement: of the same network, for its images.

    Columns: ``channel``; ``minimum``, ``maximum`` and ``mean`` seen in calibration, real units; ``codes_used`` share
    of the grid's codes between the channel's smallest and largest value; ``weight_minimum``, ``weight_maximum`` and
    ``weight_scale`` real units; ``weight_sqnr_db`` of the weights' codes against the float weights.  With
    `measurement`: ``isolated_sqnr_db`` of the output, this layer alone quantized.

    NaN: the layer has no weights or no grid, or calibration did not look at it.

    Raises:
        GraphError: the network has no such layer.
        QuantizationError: the measurement is of another network.
    """
    known = {one.name: one for one in model.network.layers}
    if layer not in known:
        raise GraphError(
            f"{model.network.name} has no layer {layer!r}; names are those in the first column of the layer table"
        )
    columns: dict[str, np.ndarray] = _seen(model, layer) | _weights(model, known[layer])
    types = dict(COLUMNS)
    if measurement is not None:
        if measurement.floats.network is not model.network:
            require_same(model, measurement.model, "measurement")
        columns["isolated_sqnr_db"] = _isolated(model, known[layer], measurement)
        types["isolated_sqnr_db"] = "float64"
    count = max((len(values) for values in columns.values()), default=0)
    rows = [
        {"channel": index, **{name: float(values[index]) for name, values in columns.items()}} for index in range(count)
    ]
    return frame(rows, types)


def _seen(model: ExportedModel, layer: str) -> dict[str, np.ndarray]:
    statistics, grid = model.statistics.tensors.get(layer), model.scheme[layer].grid
    if statistics is None or not statistics.count:
        return {}
    low, high = statistics.channel_minimum, statistics.channel_maximum
    found = {"minimum": low, "maximum": high, "mean": statistics.channel_total / statistics.channel_count}
    if grid is not None:
        found["codes_used"] = (_codes(high, grid) - _codes(low, grid) + 1) / (grid.quant_max - grid.quant_min + 1)
    return found


def _codes(real: np.ndarray, grid: QuantParams) -> np.ndarray:
    return np.clip(np.rint(real / grid.scalar) + grid.zero_point, grid.quant_min, grid.quant_max)


def _weights(model: ExportedModel, layer: FloatLayer) -> dict[str, np.ndarray]:
    if layer.weight is None:
        return {}
    rows = layer.weight.reshape(len(layer.weight), -1)
    found = {"weight_minimum": rows.min(axis=1), "weight_maximum": rows.max(axis=1)}
    scheme = model.scheme[layer.name].weight
    if scheme is not None:
        found |= {"weight_scale": scheme.scales, "weight_sqnr_db": _decibels(*channel_powers(layer.weight, scheme))}
    return found


def _isolated(model: ExportedModel, layer: FloatLayer, measurement: Measurement) -> np.ndarray:
    torch = require("torch", feature="Measuring layers")
    simulator = Simulator(model.network, model.scheme)
    signal = noise = np.zeros(1)
    with torch.inference_mode():
        for values in measurement.floats.batches:
            reference = values[layer.name]
            error = reference - isolated(simulator, layer, values)
            others = [axis for axis in range(reference.ndim) if axis != 1]
            signal = signal + reference.double().square().sum(others).numpy()
            noise = noise + error.double().square().sum(others).numpy()
    return _decibels(signal, noise)


def _decibels(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(noise == 0, np.inf, 10 * np.log10(signal / noise))
