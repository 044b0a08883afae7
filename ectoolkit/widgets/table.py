"""A DataFrame as a real table in the page: sorted, filtered, readable by a screen reader."""

from __future__ import annotations

import math
import pathlib
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

if TYPE_CHECKING:
    import pandas as pd

_HERE = pathlib.Path(__file__).parent
#: rows beyond these stay in Python, and the caption says so
MAX_ROWS = 2000


class LayerTable(anywidget.AnyWidget):
    """A table.

    Traits, all synchronized:
        columns: names.
        numeric: whether each column holds numbers.
        rows: values by row; None where there is none, text for what is neither number nor bool.
        caption: what it shows.
    """

    _esm = _HERE / "layer_table.js"
    _css = _HERE / "layer_table.css"
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    numeric = traitlets.List(traitlets.Bool()).tag(sync=True)
    rows = traitlets.List(traitlets.List()).tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)

    def __init__(self, frame: pd.DataFrame | None = None, caption: str = "", **more: Any) -> None:
        unknown = sorted(set(more) - set(self.trait_names()))
        if unknown:
            raise TypeError(f"LayerTable has no {', '.join(unknown)}")
        super().__init__(**more)
        if frame is not None:
            self.show(frame, caption)

    def show(self, frame: pd.DataFrame, caption: str = "") -> None:
        """Show a DataFrame."""
        shown = frame.head(MAX_ROWS)
        cut = f", the first {MAX_ROWS} of {len(frame)} rows" if len(frame) > MAX_ROWS else ""
        with self.hold_sync():
            self.columns = [str(column) for column in shown.columns]
            self.numeric = [kind.kind in "iuf" for kind in shown.dtypes]
            self.rows = [[_plain(value) for value in row] for row in shown.itertuples(index=False, name=None)]
            self.caption = caption + cut

    def __repr__(self) -> str:
        return f"LayerTable({len(self.rows)} rows, {len(self.columns)} columns)"


def _plain(value: Any) -> Any:
    """What JSON can carry; infinities travel as the text that JavaScript's ``Number`` reads."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value if value is None or isinstance(value, bool | int | float) else str(value)
