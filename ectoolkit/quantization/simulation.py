"""The quantized network in float32 torch: every tensor is rounded to its grid, and nothing else is integer.

Close to the integer graph (ties and the accelerator's add differ by a code here and there) and as fast as the float
model; so it is what tables of errors and corrections are made with.  Results of a model are never taken from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.types import QuantParams
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.execution import run_layer
from ectoolkit.quantization.scheme import LayerScheme, Scheme, WeightScheme


class Simulator:
    """Runs single layers of a network as a scheme has them.

    Attributes:
        network: the float network.
        scheme: what was decided.
    """

    def __init__(self, network: FloatNetwork, scheme: Scheme) -> None:
        self.network = network
        self.scheme = scheme
        self._weights: dict[int, tuple[WeightScheme, Any]] = {}

    def weight(self, name: str) -> Any:
        """A layer's weights as the integer layer has them: torch float32, None where it has none."""
        weight = self.scheme[name].weight
        if weight is None:
            return None
        if id(weight) not in self._weights:
            torch = require("torch", feature="Simulating a quantized network")
            self._weights[id(weight)] = weight, torch.from_numpy(weight.real)
        return self._weights[id(weight)][1]

    def input(self, name: str, x: Any) -> Any:
        """An input of the network on its grid."""
        return on_grid(x, self.scheme[name].grid)

    def run(self, layer: FloatLayer, inputs: Sequence[Any]) -> Any:
        """A layer's simulated result for inputs that lie on their grids (or not: the caller decides).

        Args:
            layer: of the network.
            inputs: torch float32.

        Returns:
            torch float32 on the layer's grid.
        """
        return self.rounded(layer, self.accumulate(layer, inputs), own=layer.op in FRESH)

    def accumulate(self, layer: FloatLayer, inputs: Sequence[Any], bias: Any = None) -> Any:
        """`run` before the result is put on its grid; `bias` in place of the scheme's, torch float32."""
        chosen = self.scheme[layer.name]
        if bias is None and chosen.weight is not None and chosen.bias is not None:
            torch = require("torch", feature="Simulating a quantized network")
            bias = torch.from_numpy(chosen.bias)
        return run_layer(layer, inputs, self.weight(layer.name), bias)

    def rounded(self, layer: FloatLayer, value: Any, *, own: bool = False) -> Any:
        """A layer's float result on its grid; `own`: nobody else has the value, which may be overwritten."""
        chosen: LayerScheme = self.scheme[layer.name]
        if layer.keeps_grid and layer.op not in ROUNDING:
            return value
        if layer.op == "mean" and self.scheme.hardware == "dna":
            return truncated(value, chosen.grid)
        return on_grid(value, chosen.grid, own=own)


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
