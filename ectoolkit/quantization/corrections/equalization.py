"""Cross-layer equalization: moves scale between layers so that a tensor's channels have ranges of like size.

One scale for a whole tensor of weights serves its largest channel.  Where a small channel feeds another layer, its rows
can be made larger and that layer's columns smaller by the same factor, and the network computes what it did.

A ReLU6 stands in the way: behind a factor, its ceiling would have to be another for each channel, which 8-bit
arithmetic does not have.  Dropping it, as the paper does, ruins EfficientNet-Lite0 (0.2 dB against itself, before
anything is quantized).  So a channel that came near the ceiling in calibration keeps its scale, and another grows
towards the ceiling with room to spare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.quantization.corrections.groups import Group, find_groups
from ectoolkit.quantization.statistics import Statistics

#: rounds over all groups at most; EfficientNet-Lite0 settles in 11, MobileNetV2 in 80
ROUNDS = 100
#: what counts as settled: no factor changes by more
SETTLED = 1e-3
#: a channel may grow until the largest value seen, times this, meets a ceiling: other images reach further.  With 1.2,
#: EfficientNet-Lite0 gains 1 dB of 14 with weights per tensor, but its float results change by 22 dB; with 2 by 32 dB
ROOM = 2.0
#: a channel whose weights are smaller than this, beside its tensor's largest, says nothing of a good factor
NEGLIGIBLE = 1e-6


def equalize(network: FloatNetwork, statistics: Statistics) -> FloatNetwork:
    """The same network with weights that lose less on one scale a tensor.

    Args:
        network: float; not changed.
        statistics: of it; say which channels reach a ceiling, and how large each channel gets.

    Returns:
        A network that computes the same but for float32 rounding, wherever no channel under a ceiling exceeds ROOM
        times what calibration saw.  Its module is still the old one.

    Raises:
        QuantizationError: the statistics are of another network.

    Source:
        Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.1;
        groups of more than two layers (residual sums), ranges of activations and ceilings are ours.  Their absorption
        of high biases is left out: it is wrong at the borders of padded layers.
    """
    require_statistics_of(network, statistics)
    groups = find_groups(network)
    ranges = {layer.name: Ranges(layer) for layer in network.layers if layer.weight is not None}
    bounds = [bounds_of(group, network, statistics) for group in groups]
    for _ in range(ROUNDS):
        change = 0.0
        for group, bound in zip(groups, bounds, strict=True):
            change = max(change, _balance(group, bound, ranges))
        if change < SETTLED:
            break
    return replace(network, layers=[ranges[x.name].applied() if x.name in ranges else x for x in network.layers])


def require_statistics_of(network: FloatNetwork, statistics: Statistics) -> None:
    """Require statistics of this very network.

    Raises:
        QuantizationError: they are of another.
    """
    if statistics.network_sha256 != network.sha256:
        raise QuantizationError(
            f"the statistics are of another network than {network.name}, or of other weights: they name "
            f"{statistics.network_sha256[:12]}, the network is {network.sha256[:12]}. Collect them again"
        )


class Ranges:
    """A layer's weights as far as their sizes go, and the factors taken from its rows and put into its columns.

    Attributes:
        rows: float64 ``(out_channels,)``: each output channel is divided by this.
        columns: float64 ``(groups, in_channels / groups)``: each input channel is multiplied by this.
    """

    def __init__(self, layer: FloatLayer) -> None:
        weight = layer.weight
        assert weight is not None  # only layers with weights have ranges
        groups = layer.attributes.get("groups", 1)
        assert isinstance(groups, int)
        self._layer = layer
        self._sizes = np.abs(_grouped(weight, groups)).max(axis=3)  # changes with the factors
        self.rows = np.ones(len(weight))
        self.columns = np.ones((groups, weight.shape[1]))

    def of_rows(self) -> np.ndarray:
        """Largest weight of each output channel, beside the largest of all."""
        return _beside_largest(self._sizes.max(axis=2).ravel())

    def of_columns(self, channels: int) -> np.ndarray:
        """Largest weight of each channel of the group that is read, beside the largest of all."""
        return _beside_largest(self._sizes.max(axis=1).reshape(channels, -1).max(axis=1))

    def divide_rows(self, factors: np.ndarray) -> None:
        """Take a group's factors out of the output channels."""
        self.rows *= factors
        self._sizes /= factors.reshape(len(self._sizes), -1, 1)

    def multiply_columns(self, factors: np.ndarray) -> None:
        """Put a group's factors into the input channels; behind a flatten, each channel is several of them."""
        spread = np.repeat(factors, self.columns.size // len(factors)).reshape(self.columns.shape)
        self.columns *= spread
        self._sizes *= spread[:, None]

    def applied(self) -> FloatLayer:
        """The layer with its factors."""
        weight, bias = self._layer.weight, self._layer.bias
        assert weight is not None
        grouped = _grouped(weight, len(self.columns)).astype(np.float64)
        scaled = grouped / self.rows.reshape(len(grouped), -1, 1, 1) * self.columns[:, None, :, None]
        if bias is not None:
            bias = (bias / self.rows).astype(np.float32)
        return replace(self._layer, weight=scaled.astype(np.float32).reshape(weight.shape), bias=bias)


@dataclass(eq=False)
class Bounds:
    """What a group's factors must keep to.

    Attributes:
        held: bool ``(channels,)``: channels that come near a ceiling.
        least: float64 ``(channels,)``: a smaller factor would lift a channel above a ceiling.
        sizes: float64 ``(channels,)``: the largest magnitude seen of each channel.
        factors: float64 ``(channels,)``: so far.
    """

    held: np.ndarray
    least: np.ndarray
    sizes: np.ndarray
    factors: np.ndarray


def bounds_of(group: Group, network: FloatNetwork, statistics: Statistics) -> Bounds:
    """What ceilings allow, from the largest values seen."""
    held, least, sizes = np.zeros(group.channels, bool), np.zeros(group.channels), np.zeros(group.channels)
    for layer in network.layers:
        if layer.name not in group.tensors or layer.keeps_grid:
            continue
        seen = statistics.tensors[layer.name]
        highest = seen.channel_maximum.astype(np.float64)
        sizes = np.maximum(sizes, per_channel(np.maximum(highest, -seen.channel_minimum), group.channels))
        if layer.ceiling is not None:
            highest = per_channel(highest, group.channels)
            held |= highest * ROOM >= layer.ceiling
            least = np.maximum(least, highest * ROOM / layer.ceiling)
    return Bounds(held, np.minimum(least, 1), sizes, np.ones(group.channels))


def _balance(group: Group, bound: Bounds, ranges: dict[str, Ranges]) -> float:
    """One round of one group; the largest change of a factor, as a logarithm."""
    before = np.max([ranges[layer.name].of_rows() for layer in group.producers], axis=0)
    behind = np.max([ranges[layer.name].of_columns(group.channels) for layer in group.consumers], axis=0)
    if not bound.held.any():  # else the tensor's range is its ceiling, whatever the factors
        before = np.maximum(before, _beside_largest(bound.sizes / bound.factors))
    known = (before > NEGLIGIBLE) & (behind > NEGLIGIBLE)
    wanted = np.sqrt(np.where(known, before, 1) / np.where(known, behind, 1))
    held = bound.held & known
    if held.any():  # where the held ones are largest, others come up to them on both sides
        wanted /= np.sqrt(before[held].max() / behind[held].max())
    elif known.any():
        wanted /= np.exp(np.log(wanted[known]).mean())
    factors = np.maximum(bound.factors * wanted, bound.least)
    factors = np.where(bound.held | ~known, bound.factors, factors)
    change = factors / bound.factors
    bound.factors = factors
    for layer in group.producers:
        ranges[layer.name].divide_rows(change)
    for layer in group.consumers:
        ranges[layer.name].multiply_columns(change)
    return float(np.abs(np.log(change)).max())


def _grouped(weight: np.ndarray, groups: int) -> np.ndarray:
    """OIHW or OI as ``(groups, O / groups, I / groups, H·W)``."""
    return weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)


def _beside_largest(values: np.ndarray) -> np.ndarray:
    largest = values.max()
    return values / largest if largest > 0 else values


def per_channel(values: np.ndarray, channels: int) -> np.ndarray:
    """Largest of each channel's; behind a flatten there are several."""
    return values.reshape(channels, -1).max(axis=1)
