"""One row a layer: what it is, the grids it uses, and what they cost where that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.impact import Impact
from ectoolkit.analysis.measurement import Measurement, require_same
from ectoolkit.analysis.weights import weight_sums
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.metrics import ErrorSums
from ectoolkit.core.verifier import op_of
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.quantization.distribution import Distribution
from ectoolkit.quantization.exported import ExportedModel

if TYPE_CHECKING:
    import pandas as pd


class Prediction(Protocol):
    """An error that was predicted from statistics, decibels."""

    @property
    def sqnr_db(self) -> float: ...
    @property
    def rounding_db(self) -> float: ...
    @property
    def clipping_db(self) -> float: ...
    @property
    def weights_db(self) -> float: ...


GRAPH_COLUMNS = {
    "layer": "str",
    "op": "str",
    "kind": "str",
    "input": "str",
    "output": "str",
    "dtype": "str",
    "bits": "int64",
    "macs": "int64",
    "parameters": "int64",
    "scale": "float64",
    "zero_point": "float64",
    "range_min": "float64",
    "range_max": "float64",
    "weight_bits": "float64",
    "weight_scale_min": "float64",
    "weight_scale_max": "float64",
}
MODEL_COLUMNS = {
    "method": "str",
    "clip": "str",
    "weight_sqnr_db": "float64",
    "saturated_low": "float64",
    "saturated_high": "float64",
}
MEASURES = ("sqnr_db", "cosine", "nmse", "psnr_db", "score", "rmse_over_scale", "max_abs_err", "mean_abs_err")
MEASURED_COLUMNS = {f"{kind}_{name}": "float64" for kind in ("cumulative", "isolated") for name in MEASURES}
PREDICTED_COLUMNS = {f"predicted_{name}": "float64" for name in ("sqnr_db", "rounding_db", "clipping_db", "weights_db")}


def layer_table(
    model: ExportedModel | Graph,
    measurement: Measurement | None = None,
    impact: Impact | None = None,
    predictions: Mapping[str, Prediction] | None = None,
) -> pd.DataFrame:
    """The layers of a graph in execution order.

    Args:
        model: a model, or a graph alone, of which less is known.
        measurement: of this very quantization.
        impact: of this very quantization.
        predictions: by layer.

    Columns: ``layer`` name; ``op``; ``kind`` ``"integer"`` or ``"float"``; ``input`` shapes and ``output`` shape
    (NCHW); ``dtype`` of the codes (``int32``: raw accumulator, ``float32``: real); ``bits`` of the output; ``macs`` of
    one run; ``parameters`` number of weights and biases; ``scale`` real units per code and ``zero_point`` of the
    output (NaN scale: one a channel); ``range_min`` and ``range_max`` real values of the smallest and largest code;
    ``weight_bits``, sign included; ``weight_scale_min`` and ``weight_scale_max`` over output channels; ``note`` in
    words.

    Of a model also: ``method`` that chose the range, ``"by hand"`` where nobody but the user did, empty where the
    layer keeps its input's grid; ``clip`` the range by hand as text; ``weight_sqnr_db`` of the weights' codes against
    the float weights; ``saturated_low`` and ``saturated_high`` shares of values at the smallest and largest code:
    counted where measured, else estimated from the calibration images.

    With `measurement`: ``cumulative_…`` (everything up to the layer quantized) and ``isolated_…`` (this layer alone)
    of ``sqnr_db``, ``cosine``, ``nmse``, ``psnr_db``, ``score`` (percent), ``rmse_over_scale`` (0.289 is as good as
    rounding gets), ``max_abs_err`` and ``mean_abs_err`` (real units).  With `impact`: ``impact_sqnr_db`` at the
    network's outputs.  With `predictions`: ``predicted_sqnr_db`` of the isolated error and its parts
    ``predicted_rounding_db``, ``predicted_clipping_db``, ``predicted_weights_db``.

    NaN: there is no such thing, or it was not measured.

    Raises:
        QuantizationError: the measurement or the impact is of another quantization, or `model` is a graph.
    """
    graph = model if isinstance(model, Graph) else model.graph
    rows = [_row(graph, node) for node in graph.nodes]
    columns = dict(GRAPH_COLUMNS)
    for known in (measurement, impact):
        if known is not None:
            require_same(model, known.model, type(known).__name__.lower())
    if isinstance(model, ExportedModel):
        columns |= MODEL_COLUMNS
        _add_settings(rows, graph, model)
    sources = {node.name: node.inputs[0] if node.op == "quantize" else node.name for node in graph.nodes}
    if measurement is not None:
        columns |= MEASURED_COLUMNS
        for row in rows:
            row |= _measured(measurement, sources[str(row["layer"])])
    if impact is not None:
        columns["impact_sqnr_db"] = "float64"
        for row in rows:
            row["impact_sqnr_db"] = impact.sqnr_db.get(str(row["layer"]), np.nan)
    if predictions is not None:
        columns |= PREDICTED_COLUMNS
        for row in rows:
            row |= _predicted(predictions.get(sources[str(row["layer"])]))
    return frame(rows, {**columns, "note": "str"})


def _row(graph: Graph, node: Node) -> dict[str, object]:
    output = graph.values[node.name]
    inputs = [graph.values[name] for name in node.inputs]
    constants = [name for name in node.inputs if name in graph.constants and node.op != "lookup"]
    fed = [value for value in inputs if value.name not in graph.constants]
    real = output.spec.dtype == "float32" and all(value.spec.dtype == "float32" for value in fed)
    row: dict[str, object] = {
        "layer": node.name,
        "op": node.op + ("+relu" if node.attributes.get("relu") else ""),
        "kind": "float" if real else "integer",
        "input": ", ".join("×".join(map(str, value.spec.shape)) for value in fed),
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
        row["weight_bits"] = weight.bit_width
        row["weight_scale_min"] = float(np.min(weight.scale))
        row["weight_scale_max"] = float(np.max(weight.scale))
    return row


def _note(graph: Graph, node: Node) -> str:
    if graph.values[node.name].spec.dtype == "int32":
        return f"hands its sums to {graph.users[node.name][0]}"
    if node.op == "linear":
        return "with the DNA accelerator, on its host"
    return ""


def _add_settings(rows: list[dict[str, object]], graph: Graph, model: ExportedModel) -> None:
    layers = {layer.name: layer for layer in model.network.layers}
    for row, node in zip(rows, graph.nodes, strict=True):
        name = node.inputs[0] if node.op == "quantize" else node.name
        if name in model.network.inputs or name in layers:
            row |= _settings(model, name, layers.get(name))


def _settings(model: ExportedModel, name: str, layer: FloatLayer | None) -> dict[str, object]:
    chosen = model.scheme[name]
    row: dict[str, object] = {}
    if chosen.grid is not None and not (layer is not None and layer.keeps_grid):
        settings = model.config.range_settings(name, end=layer is None or name in model.network.outputs)
        row["method"] = settings.method if settings.clip is None else "by hand"
        row["clip"] = "" if settings.clip is None else f"{settings.clip[0]:g} to {settings.clip[1]:g}"
    statistics = model.statistics.tensors.get(name)
    if chosen.grid is not None and statistics is not None and statistics.count:
        scale, grid = float(chosen.grid.scale), chosen.grid
        low, high = scale * (grid.quant_min - grid.zero_point), scale * (grid.quant_max - grid.zero_point)
        ends = Distribution.of(statistics).saturated(low + scale / 2, high - scale / 2)
        row["saturated_low"], row["saturated_high"] = ends
    if layer is not None and layer.weight is not None and chosen.weight is not None:
        row["weight_bits"] = model.config.weight_settings(name).bits
        row["weight_sqnr_db"] = weight_sums(layer.weight, chosen.weight).sqnr_db
    return row


def _measured(measurement: Measurement, name: str) -> dict[str, object]:
    row: dict[str, object] = {}
    for kind, known in (("cumulative", measurement.cumulative), ("isolated", measurement.isolated)):
        if name in known:
            row |= {f"{kind}_{measure}": value for measure, value in _measures(known[name], measurement, name).items()}
    total = measurement.cumulative.get(name)
    if total is not None:
        row |= {"saturated_low": total.saturated_low, "saturated_high": total.saturated_high}
    return row


def _measures(sums: ErrorSums, measurement: Measurement, name: str) -> dict[str, float]:
    grid = None if name in measurement.model.in_float else measurement.model.scheme[name].grid
    found = {measure: getattr(sums, measure) for measure in MEASURES if measure != "rmse_over_scale"}
    return found | {"rmse_over_scale": np.nan if grid is None else sums.rmse_over_scale(float(grid.scale))}


def _predicted(prediction: Prediction | None) -> dict[str, object]:
    if prediction is None:
        return {}
    return {column: getattr(prediction, column.removeprefix("predicted_")) for column in PREDICTED_COLUMNS}
