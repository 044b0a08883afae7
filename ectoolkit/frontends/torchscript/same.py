"""Whether two graphs compute the same, whatever their layers are called."""

from __future__ import annotations

import numpy as np

from ectoolkit.core.graph import Graph, Node


def first_difference(first: Graph, second: Graph) -> str | None:
    """What tells two graphs apart, None where their results are the same for every input.

    Names of layers and graphs do not count; the order of layers does.
    """
    names = dict(zip(first.inputs, second.inputs, strict=False))
    if len(first.inputs) != len(second.inputs) or len(first.nodes) != len(second.nodes):
        ends = [f"{len(graph.inputs)} inputs and {len(graph.nodes)} layers" for graph in (first, second)]
        return f"{ends[0]} against {ends[1]}"
    for mine, theirs in zip(first.nodes, second.nodes, strict=True):
        mapped = tuple(names.get(name, name) for name in first.activations(mine))
        ours_is, theirs_is = _settings(mine), _settings(theirs)
        if (mine.op, ours_is) != (theirs.op, theirs_is):
            return f"layer {mine.name} is {mine.op} {ours_is} against {theirs.op} {theirs_is}"
        if mapped != tuple(second.activations(theirs)):
            return f"layer {mine.name} reads {mapped} against {tuple(second.activations(theirs))}"
        for ours, other in zip([*mine.inputs, mine.name], [*theirs.inputs, theirs.name], strict=True):
            a, b = first.values[ours], second.values[other]
            if (a.spec, a.quant) != (b.spec, b.quant):
                return f"{ours} is {a.spec} {a.quant} against {b.spec} {b.quant}"
            if ours in first.constants and not np.array_equal(first.constants[ours], second.constants[other]):
                return f"the numbers of {ours}"
        names[mine.name] = theirs.name
    outputs = tuple(names[name] for name in first.outputs)
    return None if outputs == second.outputs else f"outputs {outputs} against {second.outputs}"


def _settings(node: Node) -> dict[str, object]:
    """What decides a layer's results besides its inputs: of a lookup that is its table alone, not the names in it."""
    return {} if node.op == "lookup" else dict(node.attributes)
