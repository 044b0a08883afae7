"""One row a layer: what it is and the grids it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.verifier import op_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "layer",
    "op",
    "output",
    "dtype",
    "bits",
    "macs",
    "parameters",
    "scale",
    "zero_point",
    "range_min",
    "range_max",
    "weight_scale_min",
    "weight_scale_max",
    "note",
)


def layer_table(graph: Graph) -> pd.DataFrame:
    """The layers of a graph in execution order.

    Columns: ``layer`` name; ``op``; ``output`` shape (NCHW); ``dtype`` of the codes (``int32``: raw accumulator,
    ``float32``: real); ``bits`` of the output; ``macs`` of one run; ``parameters`` number of weights and biases;
    ``scale`` real units per code and ``zero_point`` of the output (NaN scale: one a channel); ``range_min`` and
    ``range_max`` real values of the smallest and largest code; ``weight_scale_min`` and ``weight_scale_max`` over
    output channels; ``note`` in words.
    """
    return frame((_row(graph, node) for node in graph.nodes), COLUMNS)


def _row(graph: Graph, node: Node) -> dict[str, object]:
    output = graph.values[node.name]
    inputs = [graph.values[name] for name in node.inputs]
    constants = [name for name in node.inputs if name in graph.constants and node.op != "lookup"]
    row: dict[str, object] = {
        "layer": node.name,
        "op": node.op + ("+relu" if node.attributes.get("relu") else ""),
        "output": "×".join(map(str, output.spec.shape)),
        "dtype": output.spec.dtype,
        "bits": 32 if output.quant is None else output.quant.bit_width,
        "macs": op_of(node).macs(node, inputs, output),
        "parameters": sum(graph.constants[name].size for name in constants),
        "note": _note(graph, node),
    }
    quant = output.quant
    if quant is not None:
        row["zero_point"] = quant.zero_point
    if quant is not None and quant.axis is None:
        scale = float(quant.scale)
        row["scale"] = scale
        row["range_min"] = scale * (quant.quant_min - quant.zero_point)
        row["range_max"] = scale * (quant.quant_max - quant.zero_point)
    weight = graph.values[constants[0]].quant if constants else None
    if weight is not None:
        row["weight_scale_min"] = float(np.min(weight.scale))
        row["weight_scale_max"] = float(np.max(weight.scale))
    return row


def _note(graph: Graph, node: Node) -> str:
    if graph.values[node.name].spec.dtype == "int32":
        return f"hands its sums to {graph.users[node.name][0]}"
    if node.op == "linear":
        return "on the host, beside the accelerator"
    return ""
