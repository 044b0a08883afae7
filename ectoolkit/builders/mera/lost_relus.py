"""What it costs that EdgeCortix's compiler drops a ReLU; see `ectoolkit.passes.residual_add`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ectoolkit._notices import warn
from ectoolkit.core.graph import Graph
from ectoolkit.core.metrics import sqnr_db
from ectoolkit.core.verifier import op_of
from ectoolkit.errors import PrecisionWarning
from ectoolkit.passes.residual_add import LOST_RELUS

#: more layers are not measured one by one: each takes a run of the interpreter
MEASURED = 5


def costs_db(graph: Graph, inputs: Mapping[str, np.ndarray], outputs: list[np.ndarray]) -> dict[str, float]:
    """How far the outputs are from those with a layer's ReLU, in dB, for the first `MEASURED` layers that lost one.

    Args:
        graph: in hardware form.
        inputs: of one run.
        outputs: the graph's for them.
    """
    names = _layers(graph)
    found = {}
    for name in names[:MEASURED]:
        kept = _run_with_relu(graph, inputs, name)
        found[name] = min(sqnr_db(with_relu, without) for with_relu, without in zip(kept, outputs, strict=True))
    return found


def warn_of_cost(graph: Graph, inputs: Mapping[str, np.ndarray], outputs: list[np.ndarray]) -> None:
    """Say it; nothing where no ReLU was dropped."""
    costs = costs_db(graph, inputs, outputs)
    if costs:
        told = ", ".join(f"{name} ({cost:.1f} dB)" for name, cost in costs.items())
        more = len(_layers(graph)) - len(costs)
        told += f" and {more} more, which were not measured" if more else ""
        warn(
            f"{graph.name}: EdgeCortix's compiler drops the ReLU of convolutions that only an add uses, and the "
            "reference does the same. How far that leaves the outputs from those with it, on the reference input: "
            f"{told}. To keep it, use its result a second time, or swap the add's operands",
            PrecisionWarning,
            stacklevel=4,
        )


def _layers(graph: Graph) -> list[str]:
    """Those that lost a ReLU; a graph that was cut has the origin of the whole, but not all of its raw sums."""
    sums = {name for name, value in graph.values.items() if value.spec.dtype == "int32"}
    return [name for name in graph.origin.get(LOST_RELUS, "").split(",") if name in sums]


def _run_with_relu(graph: Graph, inputs: Mapping[str, np.ndarray], layer: str) -> list[np.ndarray]:
    """The interpreter's outputs with a layer's raw sums cut at zero, as its ReLU would have."""
    arrays: dict[str, np.ndarray] = dict(inputs)
    for node in graph.nodes:
        values = [graph.values[name] for name in node.inputs]
        operands = [graph.constants[name] if name in graph.constants else arrays[name] for name in node.inputs]
        arrays[node.name] = op_of(node).evaluate(node, values, graph.values[node.name], operands)
        if node.name == layer:
            arrays[node.name] = np.maximum(arrays[node.name], 0)
    return [arrays[name] for name in graph.outputs]
