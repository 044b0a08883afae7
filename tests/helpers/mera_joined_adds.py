"""EdgeCortix's own rule for adds to a concatenation, which is not the accelerator's: see `docs/numerics.md`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import grid
from ectoolkit.core.verifier import op_of
from ectoolkit.frontends.torchscript import import_torchscript, importer
from ectoolkit.passes.residual_add import FuseResidualAdd, main_operand


def interpret_as_theirs(script: Any, x: np.ndarray) -> list[np.ndarray]:
    """What InterpreterHw gives for a traced module, adds to concatenations included.

    Args:
        script: quantized, as their compiler gets it.
        x: float32 NCHW, its one input.
    """
    with mock.patch.object(importer, "FuseResidualAdd", _FuseOthers):
        graph = import_torchscript(script, x.shape)
    arrays = {graph.inputs[0]: x}
    for node in graph.nodes:
        values = [graph.values[name] for name in node.inputs]
        operands = [graph.constants[name] if name in graph.constants else arrays[name] for name in node.inputs]
        if adds_to_joined(graph, node):
            arrays[node.name] = _each_on_its_own(graph, node, operands)
        else:
            arrays[node.name] = op_of(node).evaluate(node, values, graph.values[node.name], operands)
    return [arrays[name] for name in graph.outputs]


def adds_to_joined(graph: Graph, node: Node) -> bool:
    """Whether the operand that an add does not fuse is a concatenation."""
    if node.op != "add":
        return False
    other = graph.producer(main_operand(graph, node)[1])
    return other is not None and other.op == "concat"


def _each_on_its_own(graph: Graph, node: Node, operands: list[np.ndarray]) -> np.ndarray:
    """Each operand to the output's grid, rounded to float32 once and then to the even integer; uint8 codes."""
    to = grid(graph.values[node.name])
    total = np.int64(to.zero_point)
    for name, codes in zip(node.inputs, operands, strict=True):
        own = grid(graph.values[name])
        real = (codes.astype(np.int64) - own.zero_point) * float(own.scalar) / float(to.scalar)
        total = total + np.rint(real.astype(np.float32)).astype(np.int64)
    return np.clip(total, to.zero_point if node.attributes["relu"] else 0, 255).astype(np.uint8)


class _FuseOthers(FuseResidualAdd):
    """As the compiler does it: a convolution is not fused into an add to a concatenation."""

    def rewrite(self, graph: Graph) -> Graph:
        kept = {node.name for node in graph.nodes if adds_to_joined(graph, node)}
        hidden = tuple(replace(node, op="kept") if node.name in kept else node for node in graph.nodes)
        fused = super().rewrite(graph.replace(nodes=hidden))
        return fused.replace(nodes=tuple(replace(n, op="add") if n.name in kept else n for n in fused.nodes))
