"""matplotlib pictures of tables, for papers: each draws on given axes or on its own, and returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit._optional import require

if TYPE_CHECKING:
    import pandas as pd

#: signs, so that lines differ without colour, too
_SIGNS = ("o", "s", "^", "v")


def own_axes(axes: Any, size: tuple[float, float]) -> Any:
    """The axes given, else those of a figure of its own.

    Args:
        axes: matplotlib's, or None.
        size: of a new figure, width and height in inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if axes is not None:
        return axes
    figure = require("matplotlib.figure", feature="A picture").Figure(figsize=size, layout="constrained")
    return figure.add_subplot()


def draw_layers(table: pd.DataFrame, columns: list[str] | None = None, axes: Any = None) -> Any:
    """Columns of the layer table over the layers in order of execution.

    Args:
        table: with a column ``layer``.
        columns: decibels; by default those of ``cumulative_sqnr_db``, ``isolated_sqnr_db`` and ``predicted_sqnr_db``
            that the table has.
        axes: to draw on.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    known = ("cumulative_sqnr_db", "isolated_sqnr_db", "predicted_sqnr_db")
    columns = [name for name in known if name in table.columns] if columns is None else columns
    axes = own_axes(axes, (max(6.0, min(0.14 * len(table), 14.0)), 3.6))
    for sign, name in zip(_SIGNS * len(columns), columns, strict=False):
        finite = table[name].where(np.isfinite(table[name]))
        axes.plot(range(len(table)), finite, sign, linestyle="-", markersize=3, linewidth=0.8, label=name)
    axes.set_xticks(range(len(table)), table["layer"], rotation=90, fontsize=min(8.0, 700 / max(len(table), 1)))
    axes.set(ylabel="SQNR, dB")
    axes.legend()
    return axes


def draw_sensitivity(table: pd.DataFrame, top: int = 20, axes: Any = None) -> Any:
    """The layers that cost the result most, the worst at the top; `table`: of `Sensitivity.to_frame`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    worst = table.head(top)[::-1]
    axes = own_axes(axes, (6.0, 0.24 * len(worst) + 1.0))
    axes.barh(range(len(worst)), worst["impact_sqnr_db"].to_numpy(), color="0.45")
    axes.set_yticks(range(len(worst)), worst["layer"], fontsize=8)
    axes.set(xlabel="SQNR of the result with this layer alone quantized, dB")
    return axes
