"""Float network and scheme → integer graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.passes.residual_add import FuseResidualAdd
from ectoolkit.quantization.scheme import LayerScheme, Scheme


def assemble(network: FloatNetwork, scheme: Scheme) -> Graph:
    """The integer graph of a captured network.

    Args:
        network: captured.
        scheme: one `LayerScheme` for each layer and each input of the network.

    Raises:
        QuantizationError: a layer's numbers cannot be represented.
    """
    builder = GraphBuilder(network.name)
    names: dict[str, str] = {}
    for name, shape in network.inputs.items():
        builder.input(shape, name)
        names[name] = builder.node("quantize", "quant", [name], scheme[name].grid)
    for layer in network.layers:
        names[layer.name] = _add_layer(builder, layer, names, scheme[layer.name])
    outputs = [builder.node("dequantize", "dequant", [names[name]], None, dtype="float32") for name in network.outputs]
    graph = builder.finish(outputs, {"frontend": "torch.export"})
    return FuseResidualAdd()(graph)


def _add_layer(builder: GraphBuilder, layer: FloatLayer, names: dict[str, str], chosen: LayerScheme) -> str:
    inputs = [names[name] for name in layer.inputs]
    first = grid(builder.values[inputs[0]])
    quant = chosen.grid or first
    if chosen.weight is not None:
        weight = chosen.weight
        return builder.weighted(
            layer.op, layer.name, inputs[0], weight.codes, weight.scales, chosen.bias, quant, layer.attributes
        )
    if layer.function is not None:
        table = lookup_table(layer.function, first, quant)
        inputs.append(builder.constant(f"{layer.name}.table", table, Layout.C, quant))
    return builder.node(layer.op, layer.name, inputs, quant, layer.attributes)


def lookup_table(function: Callable[[np.ndarray], np.ndarray], source: QuantParams, target: QuantParams) -> np.ndarray:
    """The target's code of ``function`` at each of the source's 256 codes: uint8 ``(256,)``, nearest, half away."""
    real = (np.arange(256) - source.zero_point) * float(source.scale)
    scaled = function(real.astype(np.float64)) / float(target.scale)
    nearest = np.trunc(scaled + np.copysign(0.5, scaled))
    return np.clip(nearest + target.zero_point, target.quant_min, target.quant_max).astype(np.uint8)
