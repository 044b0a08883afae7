"""Statistics and settings → scheme, keeping what a change does not touch."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ectoolkit.core.types import QuantParams
from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.grids import activation_grid, raised_for_bias, weight_codes, weight_scales
from ectoolkit.quantization.scheme import LayerScheme, Scheme, WeightScheme
from ectoolkit.quantization.settings import RangeSettings, WeightSettings
from ectoolkit.quantization.statistics import Statistics


class Deriver:
    """Chooses every grid and every weight's codes.

    Equal settings of a layer give the very same objects, so that whoever keeps results of a layer can tell by identity
    what a change touched.

    Attributes:
        network: what is quantized.
        statistics: of its tensors.
    """

    def __init__(self, network: FloatNetwork, statistics: Statistics) -> None:
        self.network = network
        self.statistics = statistics
        self._alone = read_depthwise(network)
        self._kept: dict[tuple[Any, ...], Any] = {}

    def derive(self, config: QuantConfig) -> Scheme:
        """The scheme for these settings; what the network takes and returns is never cut unless its layer says so.

        Raises:
            QuantizationError: the settings name no layer of the network, or a tensor cannot be quantized.
        """
        check_names(self.network, config)
        chosen = {}
        for name in self.network.inputs:
            chosen[name] = self._same(name, self._grid(name, self._settings(config, name)), None, None, False)
        for layer in self.network.layers:
            chosen[layer.name] = self._layer(layer, chosen, config)
        return Scheme(chosen, config.hardware)

    def _layer(self, layer: FloatLayer, chosen: dict[str, LayerScheme], config: QuantConfig) -> LayerScheme:
        source = chosen[layer.inputs[0]].grid
        if layer.keeps_grid or (layer.op == "mean" and config.hardware == "dna"):
            return self._same(layer.name, source, None, None, False)
        quant = self._grid(layer.name, self._settings(config, layer.name))
        if config.keeps_float(layer.name):
            return self._same(layer.name, quant, None, layer.bias, True)
        if layer.weight is None or source is None:
            return self._same(layer.name, quant, None, None, False)
        weight = self._weight(layer, config.weight_settings(layer.name), float(source.scalar))
        return self._same(layer.name, quant, weight, layer.bias, False)

    def _settings(self, config: QuantConfig, name: str) -> RangeSettings:
        return range_settings(self.network, config, name, self._alone)

    def _same(
        self, name: str, quant: QuantParams | None, weight: WeightScheme | None, bias: Any, keep_float: bool
    ) -> LayerScheme:
        """The layer's scheme, the very same object where its parts are."""
        key = ("layer", name, quant, id(weight), keep_float)
        if key not in self._kept:
            self._kept[key] = LayerScheme(quant, weight, bias, keep_float)
        return self._kept[key]

    def _grid(self, name: str, settings: RangeSettings) -> QuantParams:
        key = ("grid", name, settings)
        if key not in self._kept:
            try:
                self._kept[key] = activation_grid(self.statistics.tensors[name], settings)
            except QuantizationError as error:
                raise QuantizationError(f"layer {name}: {error}") from error
        return self._kept[key]

    def _weight(self, layer: FloatLayer, settings: WeightSettings, input_scale: float) -> WeightScheme:
        assert layer.weight is not None
        key: tuple[Any, ...] = ("weight", layer.name, settings)
        if key not in self._kept:
            scales = weight_scales(layer.weight, settings)
            self._kept[key] = WeightScheme(weight_codes(layer.weight, scales, settings), scales)
        weight: WeightScheme = self._kept[key]
        raised = raised_for_bias(weight.scales, layer.bias, input_scale)
        if raised is weight.scales:
            return weight
        key = (*key, input_scale)
        if key not in self._kept:
            self._kept[key] = WeightScheme(weight_codes(layer.weight, raised, settings), raised)
        return self._kept[key]


def range_settings(
    network: FloatNetwork, config: QuantConfig, name: str, alone: Collection[str] | None = None
) -> RangeSettings:
    """What decides the grid of a layer or an input; `alone`: what `read_depthwise` gave, where it is known."""
    settings = config.range_settings(name, end=name in (*network.inputs, *network.outputs))
    return replace(settings, spare=1.0) if name in (read_depthwise(network) if alone is None else alone) else settings


def read_depthwise(network: FloatNetwork) -> frozenset[str]:
    """Names of the layers and inputs whose grids only depthwise convolutions read.

    These see each channel alone, the small ones too, so what they read spares nothing for rare large values; where
    channels are summed, errors of rounding average out and large values count.
    """
    owners: dict[str, str] = {}
    read: dict[bool, set[str]] = {True: set(), False: set()}
    for layer in network.layers:
        inputs = {owners.get(name, name) for name in layer.inputs}
        if layer.keeps_grid:  # a padding, between a convolution and the one that reads it
            owners[layer.name] = owners.get(layer.inputs[0], layer.inputs[0])
        else:
            read[is_depthwise(layer)] |= inputs
    return frozenset(read[True] - read[False])


def is_depthwise(layer: FloatLayer) -> bool:
    """True for a convolution with one input channel to each output."""
    return (
        layer.weight is not None and layer.op == "conv2d" and layer.weight.shape[1] == 1 != layer.attributes["groups"]
    )


def check_names(network: FloatNetwork, config: QuantConfig) -> None:
    """Require that each layer with settings of its own exists.

    Raises:
        QuantizationError: one does not, and near names are listed; or it keeps another layer's grid.
    """
    known = [*network.inputs, *(layer.name for layer in network.layers)]
    keeping = {layer.name: layer.inputs[0] for layer in network.layers if layer.keeps_grid}
    for name in config.layers:
        if name in keeping:
            raise QuantizationError(
                f"layer {name} only moves or selects what {keeping[name]} gives and keeps its grid, so it has no "
                f"settings of its own; change {keeping[name]}"
            )
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.4)
            raise QuantizationError(
                f"{network.name} has no layer {name!r}; near names: {', '.join(near) or 'none'}. Names are those in "
                "the first column of the layer table"
            )
