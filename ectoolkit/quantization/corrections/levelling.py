"""Equalization for weights that have a scale for each output channel.

There the size of a row costs nothing, so weights of like size are no aim.  What remains to be gained: all channels of
an activation share one step, which is fit for the largest, and a small channel that is made larger loses less to it.
The weights that read it become smaller beside others of their row, and lose more.  Both are predicted from statistics,
and each group of tensors takes the factors that lose least; where none gains, it stays as it is.

Not equalized are channels that came near the ceiling of a ReLU6 (`equalization` says why), and those that most images
leave near 0: how large these can get, calibration has hardly seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.quantization.corrections.equalization import (
    NEGLIGIBLE,
    Ranges,
    bounds_of,
    per_channel,
    require_statistics_of,
)
from ectoolkit.quantization.corrections.groups import Group, find_groups
from ectoolkit.quantization.prediction import channel_moments
from ectoolkit.quantization.statistics import Statistics, TensorStatistics

#: a channel is divided by its size to one of these powers: 0 leaves all as they are, 1 makes all alike
POWERS = np.linspace(0, 1, 11)
#: how much less the predicted noise must be for larger factors to be taken
WORTH = 0.999
#: a channel whose largest value is so many times a typical image's is left alone: others may reach further still
RARE = 4.0
#: the largest codes of 8-bit activations and weights, which the gain is predicted for whatever the bits
LEVELS, LARGEST = 255, 127


def level(network: FloatNetwork, statistics: Statistics) -> FloatNetwork:
    """The same network with activations that lose less on one scale a tensor.

    Args:
        network: float; not changed.
        statistics: of it.

    Returns:
        A network that computes the same but for float32 rounding, as `equalize` gives.

    Raises:
        QuantizationError: the statistics are of another network.
    """
    require_statistics_of(network, statistics)
    ranges = {layer.name: Ranges(layer) for layer in network.layers if layer.weight is not None}
    for group in find_groups(network):
        factors = _factors(group, network, statistics)
        for layer in group.producers:
            ranges[layer.name].divide_rows(factors)
        for layer in group.consumers:
            ranges[layer.name].multiply_columns(factors)
    return replace(network, layers=[ranges[x.name].applied() if x.name in ranges else x for x in network.layers])


def _factors(group: Group, network: FloatNetwork, statistics: Statistics) -> np.ndarray:
    """float64 ``(channels,)``: what each channel is divided by."""
    bound = bounds_of(group, network, statistics)
    names = [x.name for x in network.layers if x.name in group.tensors and not x.keeps_grid]
    sizes = np.array([per_channel(_sizes(statistics.tensors[name]), group.channels) for name in names])
    beside_largest = (sizes / np.maximum(sizes.max(axis=1, keepdims=True), 1e-30)).max(axis=0)
    fixed = bound.held | (beside_largest <= NEGLIGIBLE)
    best, least = np.ones(group.channels), np.inf
    for power in POWERS:
        wanted = np.maximum(np.maximum(beside_largest, NEGLIGIBLE) ** power, bound.least)
        tried = np.where(fixed, 1.0, wanted)
        noise = sum(_noise(x, statistics.tensors[x.inputs[0]], sizes, tried) for x in group.consumers)
        if noise < WORTH * least:
            best, least = tried, noise
    return best


def _sizes(statistics: TensorStatistics) -> np.ndarray:
    """The largest magnitude of each channel in a typical image; 0 where that says little of other images."""
    largest = np.maximum(statistics.channel_maximum, -statistics.channel_minimum)
    typical = statistics.channel_typical
    return np.where(largest > RARE * typical, 0.0, typical)


def _noise(layer: FloatLayer, source: TensorStatistics, sizes: np.ndarray, factors: np.ndarray) -> float:
    """The share of noise in what a layer gives, mean over its output channels: 0 to 1.

    Args:
        layer: reads the group.
        source: statistics of what it reads.
        sizes: float64 ``(tensors, channels)``: of each tensor of the group, before it is divided.
        factors: float64 ``(channels,)``.
    """
    assert layer.weight is not None
    weight, variance = _by_groups(layer, source)
    spread = factors.repeat(variance.size // len(factors)).reshape(variance.shape)
    power = np.square(weight).sum(axis=3)
    steps = (sizes / factors).max(axis=1) / LEVELS
    of_activations = np.mean(steps**2) / 12 * (power * spread**2).sum(axis=2)
    steps_of_rows = np.abs(weight * spread[..., None]).max(axis=(2, 3)) / LARGEST
    of_weights = steps_of_rows**2 / 12 * weight.shape[3] * (variance / spread**2).sum(axis=2)
    noise, signal = of_activations + of_weights, (power * variance).sum(axis=2)
    return float(np.mean(noise / np.maximum(noise + signal, 1e-30)))


def _by_groups(layer: FloatLayer, source: TensorStatistics) -> Sequence[np.ndarray]:
    """float64 weights ``(groups, O / groups, I / groups, H·W)`` and variances of inputs ``(groups, 1, I / groups)``."""
    assert layer.weight is not None
    _, variance = channel_moments(layer, source)
    inputs = layer.weight.shape[1]
    groups = len(variance) // inputs
    weight = layer.weight.astype(np.float64).reshape(groups, len(layer.weight) // groups, inputs, -1)
    return weight, variance.reshape(groups, 1, inputs)
