"""The quantized network in float32 torch: what is codes in the integer graph is rounded to its grid.

Close to the integer graph (ties and the accelerator's add differ by a code here and there) and as fast as the float
model or faster; so it is what tables of errors and corrections are made with.  Results are never taken from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.types import QuantParams
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.execution import activate, run_layer
from ectoolkit.quantization.int8_convolution import Int8Convolution
from ectoolkit.quantization.placement import float_layers
from ectoolkit.quantization.scheme import LayerScheme, Scheme, WeightScheme


class Simulator:
    """Runs single layers of a network as a scheme has them.

    Attributes:
        network: the float network.
        scheme: what was decided.
        in_float: names of the layers that give real numbers, as in the integer graph.
    """

    def __init__(self, network: FloatNetwork, scheme: Scheme) -> None:
        self.network = network
        self.scheme = scheme
        self.in_float = float_layers(network, scheme)
        self._weights: dict[int, tuple[WeightScheme, Any]] = {}
        self._convolutions: dict[int, Int8Convolution] = {}

    def weight(self, name: str) -> Any:
        """A layer's weights as the integer layer has them: torch float32, None where it has none."""
        weight = self.scheme[name].weight
        if weight is None:
            return None
        if id(weight) not in self._weights:
            torch = require("torch", feature="Simulating a quantized network")
            real = torch.from_numpy(weight.real)
            if real.ndim == 4:  # as torch's kernels want them; else they are moved at each run
                real = real.contiguous(memory_format=torch.channels_last)
            self._weights[id(weight)] = weight, real
        return self._weights[id(weight)][1]

    def grid(self, name: str) -> QuantParams | None:
        """The grid that the simulated values of a layer or input lie on; None for real numbers."""
        return None if name in self.in_float else self.scheme[name].grid

    def input(self, name: str, x: Any) -> Any:
        """An input of the network on its grid."""
        return on_grid(x, self.scheme[name].grid)

    def run(self, layer: FloatLayer, inputs: Sequence[Any]) -> Any:
        """A layer's simulated result for what the layers before it gave in simulation.

        Args:
            layer: of the network.
            inputs: torch float32: on their grids, or real numbers where the layer before runs in float; a layer on
                codes rounds these first.

        Returns:
            torch float32 on the layer's grid; of a layer in float, as it is.
        """
        inputs = [on_grid(value, grid) for value, grid in zip(inputs, self.roundings(layer), strict=True)]
        fast = self._convolution(layer, inputs)
        source = self.scheme[layer.inputs[0]].grid
        if fast is None or source is None:
            return self._finished(layer, run_layer(layer, inputs, self.weight(layer.name), self._bias(layer)))
        return self._finished(layer, activate(layer, fast.of_codes(inputs[0], source, self._bias(layer))))

    def run_alone(self, layer: FloatLayer, inputs: Sequence[Any]) -> Any:
        """A layer's simulated result for inputs of any values, which are not rounded: its own error, nothing else."""
        fast = self._convolution(layer, inputs)
        if fast is None:
            return self._finished(layer, run_layer(layer, inputs, self.weight(layer.name), self._bias(layer)))
        return self._finished(layer, activate(layer, fast.of_reals(inputs[0], self._bias(layer))))

    def roundings(self, layer: FloatLayer) -> list[QuantParams | None]:
        """For each input of a layer, the grid that it must still be rounded to; None where nothing is to do.

        A layer on codes needs codes of what a layer in float gives it.
        """
        on_codes = layer.name not in self.in_float
        return [self.scheme[name].grid if on_codes and name in self.in_float else None for name in layer.inputs]

    def rounded(self, layer: FloatLayer, value: Any, *, own: bool = False) -> Any:
        """A layer's float result on its grid; `own`: nobody else has the value, which may be overwritten."""
        chosen: LayerScheme = self.scheme[layer.name]
        if layer.name in self.in_float or (layer.keeps_grid and layer.op not in ROUNDING):
            return value
        if layer.op == "mean" and self.scheme.hardware == "dna":
            return truncated(value, chosen.grid)
        return on_grid(value, chosen.grid, own=own)

    def _finished(self, layer: FloatLayer, value: Any) -> Any:
        return self.rounded(layer, value, own=layer.op in FRESH)

    def _bias(self, layer: FloatLayer) -> Any:
        chosen = self.scheme[layer.name]
        if chosen.weight is None or chosen.bias is None:
            return None
        return require("torch", feature="Simulating a quantized network").from_numpy(chosen.bias)

    def _convolution(self, layer: FloatLayer, inputs: Sequence[Any]) -> Int8Convolution | None:
        weight = self.scheme[layer.name].weight
        if weight is None or not Int8Convolution.fits(layer, inputs[0]) or inputs[0].requires_grad:
            return None
        if id(weight) not in self._convolutions:
            self._convolutions[id(weight)] = Int8Convolution(layer, weight)
        return self._convolutions[id(weight)]


#: operations whose result is a tensor of its own, never a view of an input
FRESH = ("add", "conv2d", "linear", "multiply")
#: operations on their input's grid whose results lie between its codes
ROUNDING = ("upsample_bilinear", "global_avg_pool")


def on_grid(x: Any, quant: QuantParams | None, *, own: bool = False) -> Any:
    """Round a torch float32 tensor to a grid and back to real units; unchanged where there is none.

    `own`: the tensor may be overwritten.
    """
    if quant is None:
        return x
    if x.requires_grad:
        torch = require("torch", feature="Simulating a quantized network")
        ends = quant.quant_min, quant.quant_max
        return torch.fake_quantize_per_tensor_affine(x, float(quant.scale), quant.zero_point, *ends)
    # the same without the mask that torch makes for gradients: 15 times as fast
    steps = (x.mul_ if own else x.mul)(float(np.float32(1) / quant.scalar))
    ends = (quant.quant_min - quant.zero_point, quant.quant_max - quant.zero_point)
    return steps.round_().clamp_(*ends).mul_(float(quant.scale))


def truncated(x: Any, quant: QuantParams | None) -> Any:
    """The next code below, as the accelerator's average pool has it, in real units."""
    assert quant is not None  # a pool on codes has a grid
    scale = float(quant.scale)
    return (x / scale + quant.zero_point).floor_().sub_(quant.zero_point).mul_(scale)
