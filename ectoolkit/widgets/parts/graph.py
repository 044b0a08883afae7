"""The layers as a graph, coloured by a column of their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from ectoolkit.analysis.columns import describe, extent
from ectoolkit.analysis.layouts import GraphLayout
from ectoolkit.widgets.parts.base import Part, packed, plain
from ectoolkit.widgets.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

#: what layers are coloured by at first, of what the table has
PREFERRED = ("cumulative_sqnr_db", "predicted_sqnr_db", "macs")


class LayerGraph(Part):
    """A graph.

    A layer is chosen by click, or by the arrow keys along edges; the wheel, ``+`` and ``-`` zoom, dragging moves, ``0``
    shows all.

    Traits, all synchronized:
        names, ops: of inputs and layers.
        places: float32 bytes ``(layers, 2)``, as in `GraphLayout`.
        edges: uint32 bytes ``(edges, 2)``.
        size: of the whole.
        column: that colours; choices: those there are.
        label, unit: of the column.
        values: by layer; None where there is none.
        shade: as one of `LayerTable.shades`.
        stale: layers whose values were measured before a change that is at work.
        layer: as in `Selection`.
    """

    script = "graph"
    follows: ClassVar[tuple[str, ...]] = ("layer",)
    page_sets: ClassVar[tuple[str, ...]] = ("column",)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    ops = traitlets.List(traitlets.Unicode()).tag(sync=True)
    places = traitlets.Bytes().tag(sync=True)
    edges = traitlets.Bytes().tag(sync=True)
    size = traitlets.List(traitlets.Float()).tag(sync=True)
    column = traitlets.Unicode("").tag(sync=True)
    choices = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)
    values = traitlets.List().tag(sync=True)
    shade = traitlets.List().tag(sync=True)
    stale = traitlets.List(traitlets.Unicode()).tag(sync=True)
    layer = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        layout: GraphLayout | None = None,
        table: pd.DataFrame | None = None,
        *,
        selection: Selection | None = None,
        **traits: Any,
    ) -> None:
        self._table: pd.DataFrame | None = None
        super().__init__(selection=selection, **traits)
        if layout is not None:
            self.show(layout, table)

    def show(self, layout: GraphLayout, table: pd.DataFrame | None = None) -> None:
        """Show a graph; `table`: with a column ``layer`` and numbers to colour by."""
        with self.hold_sync():
            self.names, self.ops = list(layout.names), list(layout.ops)
            self.places, self.edges = packed(layout.places, "float32"), packed(layout.edges, "uint32")
            self.size = list(layout.size)
            if table is not None:
                self.recolour(table)

    def recolour(self, table: pd.DataFrame) -> None:
        """Colour by another table of the same layers; the column stays where the table has it."""
        self._table = table
        self.stale = []
        names = [name for name in table.columns if name != "layer" and table[name].dtype.kind in "iuf"]
        with self.hold_sync():
            self.choices = [
                [name, " ".join(filter(None, (describe(name).label, describe(name).unit)))] for name in names
            ]
            if self.column not in names:
                self.column = next((name for name in (*PREFERRED, *names) if name in names), "")
            self._colour()

    @traitlets.observe("column")
    def _colour(self, change: Any = None) -> None:
        if self._table is None or self.column not in self._table.columns:
            return
        column = describe(self.column)
        known = dict(zip(self._table["layer"], self._table[self.column].tolist(), strict=True))
        values = [known.get(name) for name in self.names]
        with self.hold_sync():
            self.label, self.unit = column.label, column.unit
            self.values = [plain(value) for value in values]
            self.shade = extent(values, "" if column.better is None else column.better)

    def __repr__(self) -> str:
        return f"LayerGraph({len(self.names)} layers)"
