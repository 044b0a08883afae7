"""The error of each layer alone, predicted from statistics: before anything is run.

Three parts, as powers: what rounding to the layer's grid adds, what clipping at its ends adds, and what its rounded
weights add for inputs with the means and variances that were seen.  Errors of weights are taken as independent of each
other, which is why a prediction may be a decibel off, and why it takes no pass over the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ectoolkit.core.types import QuantParams
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.quantization.distribution import Distribution
from ectoolkit.quantization.placement import float_layers
from ectoolkit.quantization.scheme import LayerScheme, Scheme
from ectoolkit.quantization.statistics import Statistics, TensorStatistics


@dataclass(frozen=True)
class Prediction:
    """Powers of one layer, mean squares in real units squared.

    Attributes:
        signal: of the float output.
        rounding: noise of values within the grid.
        clipping: noise of values beyond it.
        weights: noise of the rounded weights, at the output.
    """

    signal: float
    rounding: float
    clipping: float
    weights: float

    @property
    def sqnr_db(self) -> float:
        """All noise together, decibels."""
        return _decibels(self.signal, self.rounding + self.clipping + self.weights)

    @property
    def rounding_db(self) -> float:
        """Decibels if rounding were the only noise."""
        return _decibels(self.signal, self.rounding)

    @property
    def clipping_db(self) -> float:
        """Decibels if clipping were the only noise; +inf where nothing is clipped."""
        return _decibels(self.signal, self.clipping)

    @property
    def weights_db(self) -> float:
        """Decibels if the weights were the only noise; +inf for a layer without."""
        return _decibels(self.signal, self.weights)


def _decibels(signal: float, noise: float) -> float:
    if noise <= 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


class Predictor:
    """Predicts layers, and keeps what a change does not touch.

    Attributes:
        network: the float network.
        statistics: of its tensors.
    """

    def __init__(self, network: FloatNetwork, statistics: Statistics) -> None:
        self.network = network
        self.statistics = statistics
        self._layers = {layer.name: layer for layer in network.layers}
        self._kept: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def predict(self, scheme: Scheme) -> Mapping[str, Prediction]:
        """A prediction for each input and each layer with a grid of its own, by name."""
        found = {name: self._input(name, scheme) for name in self.network.inputs}
        for layer in self.network.layers:
            if not layer.keeps_grid:
                found[layer.name] = self.layer(layer.name, scheme)
        return found

    def layer(self, name: str, scheme: Scheme) -> Prediction:
        """One layer's prediction."""
        chosen, layer = scheme[name], self._layers[name]
        signal = self.statistics.tensors[name].mean_square
        if chosen.grid is None or name in float_layers(self.network, scheme):
            return Prediction(signal, 0.0, 0.0, 0.0)
        weights = 0.0 if chosen.weight is None else self._weights(layer, chosen)
        return Prediction(signal, *self._grid(name, chosen.grid), weights)

    def _input(self, name: str, scheme: Scheme) -> Prediction:
        grid = scheme[name].grid
        noise = (0.0, 0.0) if grid is None else self._grid(name, grid)
        return Prediction(self.statistics.tensors[name].mean_square, *noise, 0.0)

    def _grid(self, name: str, grid: QuantParams) -> tuple[float, float]:
        key = ("grid", name, grid)
        if key not in self._kept:
            self._kept[key] = grid, grid_noise(self.statistics.tensors[name], grid)
        return self._kept[key][1]

    def _weights(self, layer: FloatLayer, chosen: LayerScheme) -> float:
        key = ("weights", layer.name, id(chosen.weight), id(chosen.bias))
        if key not in self._kept:  # with what they are of, so that their ids stay their own
            source = self.statistics.tensors[layer.inputs[0]]
            noise = weight_noise(layer, chosen, source) * _open_share(layer, self.statistics.tensors[layer.name])
            self._kept[key] = (chosen.weight, chosen.bias), noise
        return float(self._kept[key][1])


def grid_noise(statistics: TensorStatistics, grid: QuantParams) -> tuple[float, float]:
    """Mean squares of what rounding to a grid adds, and of what clipping at its ends adds; real units squared."""
    scale = float(grid.scale)
    low = scale * (grid.quant_min - grid.zero_point)
    rounding, clipping = Distribution.of(statistics).noise(
        np.array([low]), np.array([scale]), grid.quant_max - grid.quant_min
    )
    return float(rounding[0]), float(clipping[0])


def weight_noise(layer: FloatLayer, chosen: LayerScheme, source: TensorStatistics) -> float:
    """Mean square, over output channels, of what the weights' errors make of the inputs seen; real units squared.

    For output o, with the weights' errors ΔW at each input i and position k of the kernel and the bias's change Δb,
    ``Σ_ik ΔW²[o, i, k] · var_i + (Σ_ik ΔW[o, i, k] · mean_i + Δb[o])²``.
    """
    assert layer.weight is not None
    assert chosen.weight is not None
    real = chosen.weight.real
    error = np.subtract(layer.weight, real, out=real)
    mean, variance = channel_moments(layer, source)
    groups = len(mean) // error.shape[1]
    # A row for each output, a column for each weight of it: sums over inputs and positions are then one product, which
    # in float32 is right to 1e-6.
    rows = error.reshape(groups, len(error) // groups, -1)
    columns = np.stack([mean, variance]).astype(np.float32).repeat(error[0, 0].size, axis=1).reshape(2, groups, -1, 1)
    biased = rows @ columns[0]
    if chosen.bias is not layer.bias and chosen.bias is not None:
        biased += ((0 if layer.bias is None else layer.bias) - chosen.bias).reshape(biased.shape)
    spread = np.square(rows, out=rows) @ columns[1]
    return float(np.mean(spread + np.square(biased), dtype=np.float64))


def channel_moments(layer: FloatLayer, source: TensorStatistics) -> tuple[np.ndarray, np.ndarray]:
    """float64 ``(input channels,)`` mean and variance of a layer's input.

    Where channels lie along another axis than the statistics' (a linear layer over rows), all get those of the whole.
    """
    total, squares, count = source.channel_total, source.channel_squares, source.channel_count
    if not knows_channels(layer, source):
        expected = _input_channels(layer)
        total, squares = np.full(expected, total.sum()), np.full(expected, squares.sum())
        count = source.count
    mean = total / count
    return mean, np.maximum(squares / count - mean**2, 0)


def knows_channels(layer: FloatLayer, source: TensorStatistics) -> bool:
    """True where the statistics' channels are those that the layer's weights multiply."""
    return len(source.channel_total) == _input_channels(layer)


def _input_channels(layer: FloatLayer) -> int:
    assert layer.weight is not None
    return int(layer.weight.shape[1]) * int(layer.attributes.get("groups", 1))  # type: ignore[call-overload]


def _open_share(layer: FloatLayer, output: TensorStatistics) -> float:
    """Share of outputs that a fused ReLU lets through: where it does not, errors of weights vanish."""
    if not layer.attributes.get("relu"):
        return 1.0
    distribution = Distribution.of(output)
    top = np.inf if layer.ceiling is None else layer.ceiling - distribution.width
    return float(distribution.shares[(distribution.centres > 0) & (distribution.centres < top)].sum())
