"""Two quantizations of a model side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.measurement import Measurement
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.quantization.exported import ExportedModel

if TYPE_CHECKING:
    import pandas as pd

#: what is compared, with its dtype
SETTINGS = {
    "method": "str",
    "clip": "str",
    "bits": "float64",
    "weights": "str",
    "weight_bits": "float64",
    "scale": "float64",
    "zero_point": "float64",
    "kind": "str",
}
MEASURED = ("cumulative_sqnr_db", "isolated_sqnr_db")


def compare_states(
    model_a: ExportedModel,
    model_b: ExportedModel,
    measurement_a: Measurement | None = None,
    measurement_b: Measurement | None = None,
) -> pd.DataFrame:
    """One row an input or layer of either, in the order of the first.

    Columns: ``layer``; ``op`` (``"input"`` for inputs of the network); ``changed`` whether any number of its
    quantization differs; ``difference`` of its settings in words; then with the endings ``_a`` and ``_b``: ``method``
    that chose the range (empty: it keeps its input's grid), ``clip`` by hand, ``bits`` of the output, ``weights``
    granularity, ``weight_bits``, ``scale`` real units a code, ``zero_point``, ``kind`` ``"integer"`` or ``"float"``.
    Where measured: ``cumulative_sqnr_db`` and ``isolated_sqnr_db``, and where both are, ``cumulative_gain_db``.  NaN
    or empty: there is no such thing.
    """
    sides = (("a", model_a, measurement_a), ("b", model_b, measurement_b))
    columns = {"layer": "str", "op": "str", "changed": "bool", "difference": "str"}
    columns |= {f"{name}_{side}": dtype for name, dtype in SETTINGS.items() for side in "ab"}
    columns |= {f"{name}_{side}": "float64" for name in MEASURED for side, _, known in sides if known is not None}
    if measurement_a is not None and measurement_b is not None:
        columns["cumulative_gain_db"] = "float64"
    names = [*model_a.scheme.layers, *(name for name in model_b.scheme.layers if name not in model_a.scheme.layers)]
    return frame([_row(name, sides) for name in names], columns)


_Side = tuple[str, ExportedModel, Measurement | None]


def _row(name: str, sides: tuple[_Side, _Side]) -> dict[str, object]:
    states = [_state(model, name) for _, model, _ in sides]
    layer = next(filter(None, (_layer(model, name) for _, model, _ in sides)), None)
    words = [
        f"{setting} {_word(states[0].get(setting))} → {_word(states[1].get(setting))}"
        for setting in SETTINGS
        if states[0].get(setting) != states[1].get(setting)
    ]
    row: dict[str, object] = {
        "layer": name,
        "op": "input" if layer is None else layer.op,
        "changed": bool(words) or _otherwise(sides[0][1], sides[1][1], name),
        "difference": ", ".join(words),
    }
    for (side, _, measurement), state in zip(sides, states, strict=True):
        row |= {f"{setting}_{side}": value for setting, value in state.items()}
        if measurement is not None and name in measurement.cumulative:
            row[f"cumulative_sqnr_db_{side}"] = measurement.cumulative[name].sqnr_db
            row[f"isolated_sqnr_db_{side}"] = measurement.isolated[name].sqnr_db
    before, after = row.get("cumulative_sqnr_db_a"), row.get("cumulative_sqnr_db_b")
    if isinstance(before, float) and isinstance(after, float):
        row["cumulative_gain_db"] = 0.0 if before == after else after - before
    return row


def _layer(model: ExportedModel, name: str) -> FloatLayer | None:
    return next((layer for layer in model.network.layers if layer.name == name), None)


def _state(model: ExportedModel, name: str) -> dict[str, object]:
    chosen, layer = model.scheme.layers.get(name), _layer(model, name)
    if chosen is None:
        return {}
    state: dict[str, object] = {"kind": "float" if chosen.keep_float else "integer"}
    if chosen.grid is not None:
        state |= {"scale": float(chosen.grid.scale), "zero_point": float(chosen.grid.zero_point)}
        state["bits"] = float(chosen.grid.bit_width)
        if layer is None or not layer.keeps_grid:
            settings = model.config.range_settings(name, end=layer is None or name in model.network.outputs)
            state["method"] = settings.method if settings.clip is None else "by hand"
            state["clip"] = "" if settings.clip is None else f"{settings.clip[0]:g} to {settings.clip[1]:g}"
    if chosen.weight is not None:
        weights = model.config.weight_settings(name)
        state |= {"weights": weights.granularity, "weight_bits": float(weights.bits)}
    return state


def _otherwise(first: ExportedModel, second: ExportedModel, name: str) -> bool:
    """True where weights or bias are others although the settings read the same, as after a correction."""
    if first.network is not second.network:
        return True
    a, b = first.scheme.layers.get(name), second.scheme.layers.get(name)
    return a is None or b is None or (a is not b and (a.weight is not b.weight or a.bias is not b.bias))


def _word(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value or "none")
