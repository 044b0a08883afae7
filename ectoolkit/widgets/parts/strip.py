"""A strip chart: dots over time with named levels, for latencies and sensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets

from ectoolkit.widgets.parts.base import Part, packed


class StripChart(Part):
    """Values over time, one dot each; arrow keys and the pointer read them out.

    Traits, all synchronized:
        title, unit: of the values.
        along, along_unit: what the horizontal axis counts, and its unit.
        data: the values, float32; NaN where one is not known.
        places: along the axis, float32.
        marks: names and values of levels, as ``p50``.
        note: what to know before believing them; empty where nothing.
    """

    script = "strip"
    title = traitlets.Unicode("").tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)
    along = traitlets.Unicode("run").tag(sync=True)
    along_unit = traitlets.Unicode("").tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    places = traitlets.Bytes().tag(sync=True)
    marks = traitlets.List(traitlets.List()).tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)

    def show(
        self,
        values: Any,
        places: Any = None,
        *,
        marks: Mapping[str, float] | None = None,
        note: str = "",
        **texts: str,
    ) -> None:
        """Show values.

        Args:
            values: one-dimensional; None or NaN where one is not known.
            places: along the axis, as many; 1, 2, 3... where None.
            marks: levels by name.
            note: said under the chart.
            **texts: ``title``, ``unit``, ``along``, ``along_unit``.
        """
        known = np.array([np.nan if value is None else value for value in values], np.float32)
        with self.hold_sync():
            for name, text in texts.items():
                self.set_trait(name, text)
            self.data = packed(known, "float32")
            self.places = packed(np.arange(1, len(known) + 1) if places is None else places, "float32")
            self.marks = [[name, float(value)] for name, value in (marks or {}).items()]
            self.note = note

    def __repr__(self) -> str:
        return f"StripChart({self.title!r}, {len(self.data) // 4} values)"
