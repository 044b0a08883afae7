"""The graph: nodes in execution order, each producing the one value that carries its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from ectoolkit.core.types import QuantParams, TensorSpec
from ectoolkit.errors import GraphError


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        name: unique in its graph; a layer's output carries the layer's name.
        spec: shape, dtype, layout.
        quant: the integer grid, None for float32 values.
    """

    name: str
    spec: TensorSpec
    quant: QuantParams | None = None


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        name: the layer's name in its model, and the name of the value it produces.
        op: name of the operation, a key of `ectoolkit.core.ops.OPS`.
        inputs: names of values and constants, in the operation's order.
        attributes: its settings; int, float, bool, str, or tuples of int or of float.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))


@dataclass(frozen=True)
class Graph:
    """A whole network, on integers but for the layers marked float, immutable.

    Attributes:
        name: of the model.
        inputs: names of the float32 inputs.
        outputs: names of the float32 outputs.
        nodes: operations, each after all that it reads.
        values: every tensor by name: inputs, constants, node outputs.
        constants: arrays of weights and biases by name.
        origin: where the model came from: frontend, source hash and the like.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    constants: Mapping[str, np.ndarray]
    origin: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for constant in self.constants.values():
            constant.setflags(write=False)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {len(self.nodes)} nodes, {len(self.constants)} constants)"

    @cached_property
    def _node_by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def users(self) -> Mapping[str, tuple[str, ...]]:
        """For each value, the names of the nodes that read it, once per read; ``"<output>"`` for a graph output."""
        found: dict[str, list[str]] = {name: [] for name in self.values}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node.name)
        for name in self.outputs:
            found[name].append("<output>")
        return {name: tuple(readers) for name, readers in found.items()}

    def node(self, name: str) -> Node:
        """The layer of that name.

        Raises:
            GraphError: there is none; the message lists near names.
        """
        try:
            return self._node_by_name[name]
        except KeyError:
            near = [n for n in self._node_by_name if name.rpartition(".")[2] in n][:5]
            raise GraphError(
                f"{self.name} has no layer {name!r}; near names: {', '.join(near) or 'none'}. "
                "Names are those in the first column of the layer table"
            ) from None

    def producer(self, value: str) -> Node | None:
        """The node that makes a value, None for inputs and constants."""
        return self._node_by_name.get(value)

    def activations(self, node: Node) -> list[str]:
        """A node's inputs that are not constants."""
        return [name for name in node.inputs if name not in self.constants]

    def runs_in(self, node: Node) -> str:
        """``"float"`` where a layer makes real numbers, ``"integer"`` where codes or sums; ``""`` between the two."""
        if node.op in ("quantize", "dequantize"):
            return ""
        return "float" if self.values[node.name].spec.dtype == "float32" else "integer"

    def replace(self, **changes: object) -> Graph:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that determines the graph's results, whatever it is called or came from."""
        digest = hashlib.sha256(f"{self.inputs};{self.outputs};{self.quantization_sha256}".encode())
        for node in self.nodes:
            digest.update(f"{node.name};{node.op};{node.inputs};{sorted(node.attributes.items())}".encode())
        for name in sorted(self.values):
            digest.update(f"{name};{self.values[name].spec}".encode())
        for name in sorted(self.constants):
            digest.update(np.ascontiguousarray(self.constants[name]).tobytes())
        return digest.hexdigest()

    @cached_property
    def quantization_sha256(self) -> str:
        """Hash of all scales, zero points and ranges, by value name."""
        digest = hashlib.sha256()
        for name in sorted(self.values):
            quant = self.values[name].quant
            if quant is not None:
                grid = f"{quant.zero_point}:{quant.quant_min}:{quant.quant_max}:{quant.axis};"
                digest.update(f"{name}:{grid}".encode())
                digest.update(quant.scale.tobytes())
        return digest.hexdigest()
