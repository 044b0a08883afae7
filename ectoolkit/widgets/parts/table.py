"""A DataFrame as a real table in the page: sorted, filtered, chosen from, readable by a screen reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from ectoolkit.analysis.columns import describe, extent
from ectoolkit.widgets.parts.base import Part, plain
from ectoolkit.widgets.selection import Selection

if TYPE_CHECKING:
    import pandas as pd


def as_meant(row: Mapping[str, Any]) -> list[int]:
    """Places of a row's numbers that look bad and are not: a ReLU sends half of its values to the smallest code."""
    ends_at_zero = row.get("range_min") is not None and float(row["range_min"]) >= 0
    return [index for index, name in enumerate(row) if name == "saturated_low" and ends_at_zero]


#: rows beyond these stay in Python, and the caption says so
MAX_ROWS = 2000
#: what a row stands for in a `Selection`, by the name of the first column
_STANDS_FOR = {"layer": "layer", "channel": "channel", "image": "image"}


class LayerTable(Part):
    """A table.

    Where the first column is ``layer``, ``channel`` or ``image`` a row can be chosen: by click, or by the arrow keys,
    Home, End, Enter and Space; Escape chooses none.  Rows of images are numbered as they come.

    Traits, all synchronized:
        columns: names, as in the DataFrame.
        headings: label and unit of each, from `ectoolkit.analysis.columns`.
        numeric: whether each column holds numbers.
        shades: for each column how it is shaded behind its text: ``[low, high, better]`` with better ``"high"`` or
            ``"low"`` (the bad end is marked) or ``""`` (the large end is); ``[]`` for none.
        plain: for each row the columns that are not shaded, because the number is as it should be there.
        rows: values by row; None where there is none, text for what is neither number nor bool.
        caption: what it shows.
        chooses: ``"layer"``, ``"channel"`` or ``"image"``, ``""`` where rows cannot be chosen.
        live: ``layer`` and ``values``, numbers by column: shown in its row while a setting of it is moved.
        stale: by layer, the columns whose numbers were measured before a change that is at work.
        layer, channel, image: what is chosen, as in `Selection`.
    """

    script = "table"
    follows: ClassVar[tuple[str, ...]] = ("layer", "channel", "image")
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    headings = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    numeric = traitlets.List(traitlets.Bool()).tag(sync=True)
    shades = traitlets.List(traitlets.List()).tag(sync=True)
    plain = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    rows = traitlets.List(traitlets.List()).tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    chooses = traitlets.Unicode("").tag(sync=True)
    live = traitlets.Dict().tag(sync=True)
    stale = traitlets.Dict().tag(sync=True)
    layer = traitlets.Unicode("").tag(sync=True)
    channel = traitlets.Int(-1).tag(sync=True)
    image = traitlets.Int(-1).tag(sync=True)

    def __init__(
        self,
        frame: pd.DataFrame | None = None,
        caption: str = "",
        *,
        selection: Selection | None = None,
        **traits: Any,
    ) -> None:
        super().__init__(selection=selection, **traits)
        if frame is not None:
            self.show(frame, caption)

    def reachable(self) -> tuple[str, ...]:
        return (self.chooses,) if self.chooses else ()

    def show(self, frame: pd.DataFrame, caption: str = "") -> None:
        """Show a DataFrame."""
        shown = frame.head(MAX_ROWS)
        cut = f", the first {MAX_ROWS} of {len(frame)} rows" if len(frame) > MAX_ROWS else ""
        names = [str(column) for column in shown.columns]
        described = [describe(name) for name in names]
        with self.hold_sync():
            self.columns = names
            self.headings = [[column.label, column.unit] for column in described]
            self.numeric = [kind.kind in "iuf" for kind in shown.dtypes]
            self.rows = [[plain(value) for value in row] for row in shown.itertuples(index=False, name=None)]
            self.plain = [as_meant(dict(zip(names, row, strict=True))) for row in self.rows]
            self.shades = [
                extent(self._unspared(shown.iloc[:, index].tolist(), index), column.better)
                if self.numeric[index]
                else []
                for index, column in enumerate(described)
            ]
            self.chooses = _STANDS_FOR.get(names[0], "") if names else ""
            self.caption = caption + cut
            self.live, self.stale = {}, {}

    def _unspared(self, values: list[Any], index: int) -> list[Any]:
        return [value for value, spared in zip(values, self.plain, strict=True) if index not in spared]

    def __repr__(self) -> str:
        return f"LayerTable({len(self.rows)} rows, {len(self.columns)} columns)"
