"""A float network as the layers of the integer graph to come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """One layer.

    Attributes:
        name: of the layer, the module's own; what stands between two of its steps has a colon and a word after it.
        op: key of `ectoolkit.core.ops.OPS`, or ``subtract`` of two tensors, which becomes a lookup and an add.
        inputs: names of layers or network inputs.
        node: name of the captured graph's node that has the layer's float value; ``""`` where none has.
        attributes: of the graph's node.
        weight: float32 OIHW or OI, None for layers without.
        bias: float32 ``(channels,)`` or None.
        function: of a ``lookup``: float64 array to float64 array.
        keeps_grid: True where the result lies on the first input's grid, or is never made of codes.
        ceiling: where a fused ReLU6 cuts the result, None where nothing does.
        constants: float32 operands that are parameters of the model, by their place among all operands.
        runs_in: ``"integer"``, or ``"float"`` where there is no integer form: real numbers between dequantize and
            quantize. A layer that only moves elements runs in what it is given.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    node: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    function: Callable[[np.ndarray], np.ndarray] | None = None
    keeps_grid: bool = False
    ceiling: float | None = None
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    runs_in: str = "integer"


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """A captured module.

    Attributes:
        name: of the model.
        module: the captured ``torch.fx.GraphModule``, batch norm folded.
        inputs: name and shape of each input, ``input0``, ``input1``, ... in the order of ``forward``.
        layers: in execution order.
        outputs: names of the layers that the module returns, in order; a dict's in its own.
    """

    name: str
    module: Any
    inputs: Mapping[str, tuple[int, ...]]
    layers: Sequence[FloatLayer]
    outputs: Sequence[str]

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that determines the network's results."""
        digest = hashlib.sha256(f"{dict(self.inputs)};{tuple(self.outputs)}".encode())
        for layer in self.layers:
            settings = (layer.name, layer.op, layer.inputs, sorted(layer.attributes.items()), layer.ceiling)
            digest.update(f"{settings}".encode())
            for array in (layer.weight, layer.bias, *(array for _, array in sorted(layer.constants.items()))):
                digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"FloatNetwork({self.name!r}, {len(self.layers)} layers)"
