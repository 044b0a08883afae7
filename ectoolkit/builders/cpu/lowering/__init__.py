"""Which kernel a layer becomes, and the arrays the kernel needs: one function an operation, one file a family."""

from __future__ import annotations

from collections.abc import Callable

from ectoolkit.builders.cpu.lowering import codes, movement, real, weights
from ectoolkit.builders.cpu.lowering.context import Context, KernelCall, Lowered, inside
from ectoolkit.core.graph import Node
from ectoolkit.errors import BuildError

RULES: dict[str, Callable[[Context, Node], Lowered]] = {**codes.RULES, **movement.RULES, **real.RULES, **weights.RULES}


def lower(context: Context, node: Node) -> Lowered:
    """Choose kernels for a layer.

    Raises:
        BuildError: the cpu target has no kernel for the operation.
    """
    if node.name in context.absorbed:
        return Lowered([], note=f"in {context.absorbed[node.name].name}")
    if node.name in context.fused:
        return Lowered([], note=f"in {context.fused[node.name].name}")
    for convolution in context.fused_into(node.name):
        return weights.lower_fused(context, context.graph.node(convolution), node)
    rule = RULES.get(node.op)
    if rule is None:
        raise BuildError(f"the cpu target has no kernel for {node.op} (layer {node.name}); it has {', '.join(RULES)}")
    return rule(context, node)


__all__ = ["RULES", "Context", "KernelCall", "Lowered", "inside", "lower"]
