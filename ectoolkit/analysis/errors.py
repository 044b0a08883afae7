"""How far each layer of the integer graph is from the float model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.core import metrics
from ectoolkit.core.interpreter import Trace

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "layer",
    "op",
    "sqnr_db",
    "cosine",
    "nmse",
    "rmse_over_scale",
    "saturated_low",
    "saturated_high",
)


def error_table(trace: Trace, float_layers: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The cumulative error at each layer: everything up to it is quantized.

    Args:
        trace: of the integer graph.
        float_layers: float32 outputs of the float model for the same images, by layer name.

    Columns: ``layer``; ``op``; ``sqnr_db`` decibels, higher is better; ``cosine``; ``nmse``; ``rmse_over_scale`` (a
    well-set layer sits near 0.289); ``saturated_low`` and ``saturated_high`` shares of codes at the ends of the grid
    (NaN for accumulators and real outputs).  Layers that the float model does not have are left out.
    """
    nodes = [node for node in trace.graph.nodes if node.name in float_layers]
    return frame((_row(trace, node.name, node.op, float_layers[node.name]) for node in nodes), COLUMNS)


def _row(trace: Trace, name: str, op: str, reference: np.ndarray) -> dict[str, object]:
    candidate = trace.real(name).reshape(reference.shape)
    quant = trace.graph.values[name].quant
    row: dict[str, object] = {
        "layer": name,
        "op": op,
        "sqnr_db": metrics.sqnr_db(reference, candidate),
        "cosine": metrics.cosine(reference, candidate),
        "nmse": metrics.nmse(reference, candidate),
    }
    if quant is not None and quant.axis is None:
        codes = trace[name]
        row["rmse_over_scale"] = metrics.rmse_over_scale(reference, candidate, float(quant.scale))
        row["saturated_low"] = float((codes == quant.quant_min).mean())
        row["saturated_high"] = float((codes == quant.quant_max).mean())
    return row
