"""Which convolutions are computed together with the add that takes their sums."""

from __future__ import annotations

import numpy as np

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.lowering.frames import is_dense
from ectoolkit.builders.cpu.lowering.rounding import float_factor
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops import add as add_op

#: results beyond these are cut by whatever zero point comes later
FINITE = (-1024, 1024)


def fused_adds(graph: Graph, isa: Isa) -> dict[str, Node]:
    """The add of each convolution that hands its raw sums to one and can be computed with it, by the convolution.

    An add takes one convolution at most: where both operands are sums, the one that is computed last.
    """
    found: dict[str, Node] = {}
    for add in graph.nodes:
        if add.op not in ("add", "precise_add") or (
            add.op == "add" and (not isa.fuses or second_factor(graph, add) is None)
        ):
            continue
        convolutions = [name for name in add.inputs if _gives_sums(graph, name)]
        if convolutions:
            order = [node.name for node in graph.nodes if node.name in convolutions]
            found[order[-1]] = add
    return found


def _gives_sums(graph: Graph, name: str) -> bool:
    producer = graph.producer(name)
    return (
        producer is not None
        and graph.values[name].spec.dtype == "int32"
        and is_dense(graph, producer)
        and len(graph.users[name]) == 1
    )


def second_factor(graph: Graph, add: Node) -> np.float32 | None:
    """The float32 form in which the accelerator's add moves sums of two operands to the output's grid."""
    values = [graph.values[name] for name in add.inputs]
    ratio = add_op.output_ratio(values, graph.values[add.name])
    most = 255 - arithmetic.ADD_MIN
    return float_factor(*arithmetic.requantize_multiplier(ratio, add.name), most, *FINITE)
