"""Float network and scheme → graph.

A layer runs on codes wherever it has an integer form; the others, and those that the scheme keeps in float, run on
real numbers.  Between the two stand ``quantize`` and ``dequantize`` nodes, one for each tensor that is needed on the
other side: the layer's own name stays on what the layer itself makes, ``<layer>:codes`` are its codes and
``<layer>:real`` its real numbers.  Float layers hand real numbers to each other; what only moves elements runs in
what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.ops import OPS
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.forms import FLOAT_FORMS
from ectoolkit.passes.precise_add import PreciseAdds
from ectoolkit.passes.residual_add import FuseResidualAdd
from ectoolkit.quantization.placement import float_layers
from ectoolkit.quantization.scheme import LayerScheme, Scheme


def assemble(network: FloatNetwork, scheme: Scheme) -> Graph:
    """The graph of a captured network.

    Args:
        network: captured.
        scheme: one `LayerScheme` for each layer and each input of the network.

    Raises:
        QuantizationError: a layer's numbers cannot be represented, or it cannot be kept in float as asked.
    """
    assembler = _Assembler(network, scheme)
    for layer in network.layers:
        assembler.add(layer)
    graph = assembler.builder.finish([assembler.output(name) for name in network.outputs], {"frontend": "torch.export"})
    return FuseResidualAdd(swap=True)(graph) if scheme.hardware == "dna" else PreciseAdds()(graph)


@dataclass
class _Tensor:
    """Where a layer's result is in the graph.

    Attributes:
        real: name of its real numbers, None until somebody needs them.
        codes: name of its codes, likewise.
    """

    real: str | None
    codes: str | None


class _Assembler:
    """Adds layer after layer to a graph."""

    def __init__(self, network: FloatNetwork, scheme: Scheme) -> None:
        self.scheme = scheme
        self.builder = GraphBuilder(network.name)
        self.tensors: dict[str, _Tensor] = {}
        self._inputs = frozenset(network.inputs)
        self._in_float = float_layers(network, scheme)
        for name, shape in network.inputs.items():
            self.tensors[name] = _Tensor(self.builder.input(shape, name), None)

    def add(self, layer: FloatLayer) -> None:
        """Add one layer, in float or on codes."""
        chosen = self.scheme[layer.name]
        if chosen.keep_float and layer.op not in FLOAT_FORMS and not OPS[layer.op].real:
            raise QuantizationError(
                f"layer {layer.name} ({layer.op}) cannot be kept in float: it only moves or selects codes, which costs "
                f"nothing. Keep the layer before or behind it in float; possible are: {', '.join(FLOAT_FORMS)}"
            )
        if layer.name in self._in_float:
            self.tensors[layer.name] = _Tensor(self._add_real(layer), None)
        else:
            self.tensors[layer.name] = _Tensor(None, self._add_integer(layer, chosen))

    # --- the borders ---------------------------------------------------------------------------------------------

    def codes(self, name: str, reader: str) -> str:
        """The codes of a layer or input; a ``quantize`` is added at the first need."""
        tensor = self.tensors[name]
        if tensor.codes is None:
            quant = self.scheme[name].grid
            if quant is None:
                raise QuantizationError(
                    f"layer {name} runs in float and {reader} needs its codes, but its scheme has no grid; give it one"
                )
            label = "quant" if name in self._inputs else f"{name}:codes"
            tensor.codes = self.builder.node("quantize", label, [str(tensor.real)], quant)
        return tensor.codes

    def real(self, name: str, label: str | None = None) -> str:
        """The real numbers of a layer or input; a ``dequantize`` is added at the first need."""
        tensor = self.tensors[name]
        if tensor.real is None:
            label = label or f"{name}:real"
            tensor.real = self.builder.node("dequantize", label, [str(tensor.codes)], None, dtype="float32")
        return tensor.real

    def output(self, name: str) -> str:
        """A result of the graph: real numbers."""
        if name in self._inputs:
            self.codes(name, "the output")
            tensor = _Tensor(None, self.tensors[name].codes)  # as every other tensor: as good as its codes
            self.tensors[f"{name}:output"] = tensor
            return self.real(f"{name}:output", "dequant")
        return self.real(name, "dequant")

    # --- layers on real numbers ----------------------------------------------------------------------------------

    def _add_real(self, layer: FloatLayer) -> str:
        op = FLOAT_FORMS.get(layer.op, layer.op)
        operands = [self.real(name) for name in layer.inputs]
        for place, array in sorted(layer.constants.items()):
            operands.insert(place, self._real_constant(f"{layer.name}.operand{place}", array))
        if layer.weight is not None:
            bias = np.zeros(len(layer.weight), np.float32) if layer.bias is None else layer.bias
            operands.append(self._real_constant(f"{layer.name}.weight", layer.weight))
            operands.append(self._real_constant(f"{layer.name}.bias", bias))
        settings = {key: value for key, value in layer.attributes.items() if key != "relu"}
        if op == "float_mean" and layer.op == "mean":
            settings = {"axes": (2, 3), "keep": True}
        if not layer.attributes.get("relu"):
            return self.builder.node(op, layer.name, operands, None, settings, dtype="float32")
        made = self.builder.node(op, f"{layer.name}:sum", operands, None, settings, dtype="float32")
        return self._activation(layer, made)

    def _activation(self, layer: FloatLayer, made: str) -> str:
        cut = layer.ceiling is not None
        settings = {"function": "clamp" if cut else "relu", "parameters": (0.0, layer.ceiling) if cut else ()}
        return self.builder.node("float_function", layer.name, [made], None, settings, dtype="float32")

    def _real_constant(self, name: str, array: np.ndarray) -> str:
        array = np.asarray(array, np.float32).view()  # the graph closes it to writing, and must not the network's own
        return self.builder.constant(name, array, Layout.of_activation(array.ndim), None)

    # --- layers on codes -----------------------------------------------------------------------------------------

    def _add_integer(self, layer: FloatLayer, chosen: LayerScheme) -> str:
        inputs = [self.codes(name, layer.name) for name in layer.inputs]
        first = grid(self.builder.values[inputs[0]])
        quant = chosen.grid or first
        if layer.weight is not None:
            return self._weighted(layer, chosen, inputs[0], quant)
        if layer.function is not None:
            table = lookup_table(layer.function, first, quant, layer.name)
            inputs.append(self.builder.constant(f"{layer.name}.table", table, Layout.C, quant))
        if layer.op == "subtract":
            inputs[1] = self._negated(layer, inputs[1])
            return self.builder.node("add", layer.name, inputs, quant, layer.attributes)
        op = layer.op
        if op == "mean" and self.scheme.hardware == "dna" and quant == first:
            op = "global_avg_pool"
        return self.builder.node(op, layer.name, inputs, quant, layer.attributes)

    def _weighted(self, layer: FloatLayer, chosen: LayerScheme, x: str, quant: QuantParams) -> str:
        weight = chosen.weight
        if weight is None:
            raise QuantizationError(
                f"layer {layer.name} ({layer.op}) has no weights in its scheme; give it some, or keep_float=True"
            )
        return self.builder.weighted(
            layer.op, layer.name, x, weight.codes, weight.scales, chosen.bias, quant, layer.attributes
        )

    def _negated(self, layer: FloatLayer, codes: str) -> str:
        """The codes of the opposite numbers, on the mirrored grid: nothing is lost."""
        given = grid(self.builder.values[codes])
        mirrored = QuantParams(
            given.scale, given.quant_max + given.quant_min - given.zero_point, given.quant_min, given.quant_max
        )
        ends = np.clip(np.arange(256), given.quant_min, given.quant_max)
        table = (given.quant_max + given.quant_min - ends).astype(np.uint8)
        inputs = [codes, self.builder.constant(f"{layer.name}:negated.table", table, Layout.C, mirrored)]
        settings = {"function": "neg", "parameters": ()}
        return self.builder.node("lookup", f"{layer.name}:negated", inputs, mirrored, settings)


def lookup_table(
    function: Callable[[np.ndarray], np.ndarray], source: QuantParams, target: QuantParams, layer: str = "this layer"
) -> np.ndarray:
    """The target's code of ``function`` at each of the source's 256 codes: uint8 ``(256,)``, nearest, half away.

    Raises:
        QuantizationError: the function gives no number for a code that the source uses.
    """
    codes = np.clip(np.arange(256), source.quant_min, source.quant_max)
    real = (codes - source.zero_point) * float(source.scale)
    results = function(real.astype(np.float64))
    if np.isnan(results).any():
        worst = real[np.isnan(results)][0]
        raise QuantizationError(
            f"the function of {layer} has no value at {worst:g}, which its input can take: inputs from {real.min():g} "
            f"to {real.max():g} were calibrated. Clamp the input before it, or keep the layer in float"
        )
    scaled = np.clip(results / float(target.scale), -512, 512)
    nearest = np.trunc(scaled + np.copysign(0.5, scaled))
    return np.clip(nearest + target.zero_point, target.quant_min, target.quant_max).astype(np.uint8)
