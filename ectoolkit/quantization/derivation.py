"""Statistics and settings → scheme."""

from __future__ import annotations

from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.grids import activation_grid, weight_codes, weight_scales
from ectoolkit.quantization.scheme import LayerScheme, Scheme, WeightScheme
from ectoolkit.quantization.statistics import Statistics


def derive(network: FloatNetwork, statistics: Statistics, config: QuantConfig) -> Scheme:
    """Choose every grid and every weight's codes; what the network returns is never cut.

    Raises:
        QuantizationError: a tensor's range cannot be quantized.
    """
    chosen = {name: LayerScheme(activation_grid(statistics.tensors[name], config)) for name in network.inputs}
    for layer in network.layers:
        chosen[layer.name] = _derive_layer(network, layer, chosen, statistics, config)
    return Scheme(chosen)


def _derive_layer(
    network: FloatNetwork,
    layer: FloatLayer,
    chosen: dict[str, LayerScheme],
    statistics: Statistics,
    config: QuantConfig,
) -> LayerScheme:
    if layer.keeps_grid:
        return LayerScheme(chosen[layer.inputs[0]].grid)
    quant = activation_grid(statistics.tensors[layer.name], config, clip=layer.name not in network.outputs)
    if layer.weight is None:
        return LayerScheme(quant)
    source = chosen[layer.inputs[0]].grid
    assert source is not None
    scales = weight_scales(layer.weight, layer.bias, float(source.scalar), config)
    return LayerScheme(quant, WeightScheme(weight_codes(layer.weight, scales), scales), layer.bias)
