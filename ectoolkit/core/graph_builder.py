"""Builds a `Graph` node by node, inferring shapes and keeping names unique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ectoolkit.core.arithmetic import bias_scale, quantize_bias
from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.core.verifier import op_of, verify


class GraphBuilder:
    """Collects inputs, constants and nodes; `finish` verifies and returns the graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[str, Value] = {}
        self._inputs: list[str] = []
        self._nodes: list[Node] = []
        self._constants: dict[str, np.ndarray] = {}

    def unique(self, name: str) -> str:
        """`name`, or ``name_2``, ``name_3``... where it is taken: a module used twice makes two layers."""
        if name not in self.values:
            return name
        number = 2
        while f"{name}_{number}" in self.values:
            number += 1
        return f"{name}_{number}"

    def input(self, shape: Sequence[int], name: str | None = None) -> str:
        """Add a float32 input, ``input0``, ``input1``, ... unless named; returns its name."""
        name = name or f"input{len(self._inputs)}"
        shape = tuple(int(extent) for extent in shape)
        self.values[name] = Value(name, TensorSpec(shape, "float32", Layout.of_activation(len(shape))))
        self._inputs.append(name)
        return name

    def constant(self, name: str, array: np.ndarray, layout: Layout, quant: QuantParams | None) -> str:
        """Add an array of the model, on a grid or (None) float32; returns its name."""
        name = self.unique(name)
        array = np.ascontiguousarray(array)
        self._constants[name] = array
        self.values[name] = Value(name, TensorSpec(array.shape, array.dtype.name, layout), quant)
        return name

    def node(
        self,
        op: str,
        name: str,
        inputs: Sequence[str],
        quant: QuantParams | None,
        attributes: Mapping[str, object] | None = None,
        dtype: str = "uint8",
    ) -> str:
        """Add an operation; returns the name of the layer and its value.

        Args:
            op: key of `ectoolkit.core.ops.OPS`.
            name: the layer's name in its model.
            inputs: names of values already added.
            quant: grid of the result, None for float32.
            attributes: settings.
            dtype: of the result.
        """
        node = Node(self.unique(name), op, tuple(inputs), attributes or {})
        spec = op_of(node).output_spec(node, [self.values[i] for i in inputs], dtype)
        self._nodes.append(node)
        self.values[node.name] = Value(node.name, spec, quant)
        return node.name

    def weighted(
        self,
        op: str,
        name: str,
        x: str,
        weight: np.ndarray,
        weight_scale: np.ndarray,
        bias: np.ndarray | None,
        quant: QuantParams,
        attributes: Mapping[str, object],
    ) -> str:
        """Add a conv2d or linear with its constants; the bias is put on the accumulator's grid.

        Args:
            op: ``"conv2d"``, ``"conv_transpose2d"`` or ``"linear"``.
            name: the layer's name.
            x: input value.
            weight: int8, OIHW or OI.
            weight_scale: float32 ``(out_channels,)``, or one number for all.
            bias: float32 ``(out_channels,)`` real units, or None for none.
            quant: grid of the result.
            attributes: settings of the operation.
        """
        channels = weight.shape[0]
        scale = np.broadcast_to(np.asarray(weight_scale, np.float32), (channels,)).copy()
        steps = bias_scale(grid(self.values[x]).scalar, scale)
        real = np.zeros(channels, np.float32) if bias is None else np.asarray(bias, np.float32)
        name = self.unique(name)
        layout = Layout.OIHW if weight.ndim == 4 else Layout.OI
        weight_name = self.constant(f"{name}.weight", weight, layout, QuantParams.int8_weight(scale))
        bias_codes = quantize_bias(real, steps, name)
        bias_name = self.constant(f"{name}.bias", bias_codes, Layout.C, QuantParams.int32(steps, axis=0))
        return self.node(op, name, (x, weight_name, bias_name), quant, attributes)

    def finish(self, outputs: Sequence[str], origin: Mapping[str, str] | None = None) -> Graph:
        """The verified graph."""
        graph = Graph(
            self.name,
            tuple(self._inputs),
            tuple(outputs),
            tuple(self._nodes),
            dict(self.values),
            dict(self._constants),
            dict(origin or {}),
        )
        verify(graph)
        return graph
