"""A matrix as coloured cells: errors by image and layer, by position, or quantities by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import traitlets

from ectoolkit.analysis.columns import extent
from ectoolkit.widgets.parts.base import Part, packed


class HeatMap(Part):
    """A heat map.

    A cell is chosen by click or with the arrow keys, Home and End; Escape chooses none.  What is under the pointer or
    chosen is told in words.

    Traits, all synchronized:
        caption, note: what it shows, and what there is to say of it.
        data: float32 bytes; shape: rows and columns.
        row_names, column_names: empty where their numbers will do.
        row_title, column_title: what a row and a column is.
        units: of each row's values, or of all.
        shades: as in `LayerTable`, of each row, or of all.
        row_chooses, column_chooses: the trait of `Selection` that a row and a column stands for; ``""`` for none.  They
            are given where it is made, and no other trait of a selection is followed.
        square: whether cells are as high as wide.
        picture: a ``data:`` address of what a square map lies over, shown beside it and as large; or empty.
        layer, image, channel, element: as in `Selection`.
    """

    script = "heat_map"
    follows: ClassVar[tuple[str, ...]] = ("layer", "image", "channel", "element")
    caption = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    shape = traitlets.List(traitlets.Int(), default_value=[0, 0]).tag(sync=True)
    row_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    column_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    row_title = traitlets.Unicode("row").tag(sync=True)
    column_title = traitlets.Unicode("column").tag(sync=True)
    units = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shades = traitlets.List(traitlets.List()).tag(sync=True)
    row_chooses = traitlets.Unicode("").tag(sync=True)
    column_chooses = traitlets.Unicode("").tag(sync=True)
    square = traitlets.Bool(False).tag(sync=True)
    picture = traitlets.Unicode("").tag(sync=True)
    layer = traitlets.Unicode("").tag(sync=True)
    image = traitlets.Int(-1).tag(sync=True)
    channel = traitlets.Int(-1).tag(sync=True)
    element = traitlets.Int(-1).tag(sync=True)

    def _followed(self) -> tuple[str, ...]:
        return tuple(name for name in self.follows if name in (self.row_chooses, self.column_chooses))

    def show(
        self,
        values: Any,
        caption: str,
        *,
        rows: Sequence[str] = (),
        columns: Sequence[str] = (),
        units: Sequence[str] = ("",),
        better: Sequence[str] = ("",),
        note: str = "",
        picture: str = "",
    ) -> None:
        """Show a matrix.

        Args:
            values: numbers ``(rows, columns)``; NaN for no value.
            caption: what they are.
            rows, columns: names.
            units: of each row, or one for all.
            better: ``"high"``, ``"low"`` or ``""`` for each row, or one for all; each shaded by its own extent.
            note: more words.
            picture: as the trait.
        """
        matrix = np.asarray(values, np.float32)
        parts = [matrix] if len(better) == 1 else list(matrix)
        with self.hold_sync():
            self.caption, self.note, self.picture = caption, note, picture
            self.data, self.shape = packed(matrix, "float32"), list(matrix.shape)
            self.row_names, self.column_names, self.units = list(rows), list(columns), list(units)
            self.shades = [extent(part.ravel().tolist(), end) for part, end in zip(parts, better, strict=True)]

    def clear(self, note: str = "") -> None:
        """Show nothing but a note."""
        with self.hold_sync():
            self.caption, self.note, self.data, self.shape, self.picture = "", note, b"", [0, 0], ""

    def __repr__(self) -> str:
        return f"HeatMap({self.caption!r}, {self.shape[0]}×{self.shape[1]})"
