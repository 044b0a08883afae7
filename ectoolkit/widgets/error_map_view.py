"""An error map as two heat maps: images by channels, and the positions of the chosen image."""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np

from ectoolkit.analysis.link_maps import ErrorMap
from ectoolkit.widgets.parts.heat_map import HeatMap
from ectoolkit.widgets.selection import Selection


class ErrorMapView:
    """Choosing an image or channel in the first map, or anywhere else, moves the second.

    Attributes:
        view: the widget.
        channels, positions: the two maps.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._map: ErrorMap | None = None
        self._note = ""
        names = {"row_title": "image", "column_title": "channel", "row_chooses": "image", "column_chooses": "channel"}
        self.channels = HeatMap(selection=selection, **names)
        self.positions = HeatMap(row_title="h", column_title="w", square=True)
        for part, flex in ((self.channels, "2 1 420px"), (self.positions, "1 1 280px")):
            part.layout.flex, part.layout.min_width = flex, "0"
        wrap = {"flex_flow": "row wrap", "align_items": "flex-start", "grid_gap": "8px 20px"}
        self.view = ipywidgets.HBox([self.channels, self.positions], layout=wrap)
        self._observed = lambda _: self._draw_positions()
        selection.observe(self._observed, names=["image", "channel"])

    def show(self, found: ErrorMap, note: str = "") -> None:
        """Show a map."""
        self._map, self._note = found, note
        differing = int((found.differences != 0).sum())
        share = f"{differing} of {found.differences.size} elements differ"
        self.channels.show(
            found.by_channel(),
            f"{found.title}: largest difference by image and channel",
            rows=[f"image {image}" for image in range(len(found.by_channel()))],
            units=[found.unit],
            note="; ".join(filter(None, [share, note])),
        )
        self.channels.shades = _from_zero(found.by_channel())
        self._draw_positions()

    def _draw_positions(self) -> None:
        if self._map is None:
            return
        count, channels, height, width = self._map.differences.shape
        image = self._selection.image if 0 <= self._selection.image < count else 0
        channel = self._selection.channel if 0 <= self._selection.channel < channels else None
        if height * width == 1:
            self.positions.clear("this layer has one position")
            return
        where = "over all channels" if channel is None else f"in channel {channel}"
        values = self._map.positions(image, channel)
        self.positions.show(values, f"largest difference by position, image {image}, {where}", units=[self._map.unit])
        self.positions.shades = _from_zero(values)

    def __repr__(self) -> str:
        return f"ErrorMapView({self._map!r})"


def _from_zero(values: np.ndarray) -> list[list[Any]]:
    """A shade for all rows; pale is no difference, also where all of them are the same."""
    return [[0.0, float(values.max()) or 1.0, ""]]
