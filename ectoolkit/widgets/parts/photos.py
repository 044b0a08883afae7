"""Photos with the best classes beside them: float, int8 and device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from ectoolkit.widgets.parts.base import Part

if TYPE_CHECKING:
    import pandas as pd


class PhotoBars(Part):
    """One card a photo; choosing one chooses the image.

    Traits, all synchronized:
        photos: ``name``, ``picture`` (a ``data:`` address or empty), ``ways``: for each way of computing ``by`` and
            ``best``: pairs of class and share, 0 to 1; ``agree``: whether all ways put one class first.
        note: said below.
        image: what is chosen, as in `Selection`.
    """

    script = "photos"
    follows: ClassVar[tuple[str, ...]] = ("image",)
    photos = traitlets.List(traitlets.Dict()).tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    image = traitlets.Int(-1).tag(sync=True)

    def show(self, top: pd.DataFrame, pictures: Sequence[str], note: str = "") -> None:
        """Show the first images.

        Args:
            top: from `ectoolkit.analysis.predictions.top_table`.
            pictures: addresses of the images shown, empty text for none.
            note: said below.
        """
        photos: list[dict[str, Any]] = []
        for (_, name), mine in top.groupby(["image", "name"], sort=False):
            if len(photos) == len(pictures):
                break
            ways: list[dict[str, Any]] = [
                {"by": by, "best": [[row["class"], float(row["share"])] for row in best.to_dict("records")]}
                for by, best in mine.groupby("by", sort=False)
            ]
            agree = len({way["best"][0][0] for way in ways}) == 1
            photos.append({"name": name, "picture": pictures[len(photos)], "ways": ways, "agree": agree})
        with self.hold_sync():
            self.photos, self.note = photos, note

    def __repr__(self) -> str:
        return f"PhotoBars({len(self.photos)} photos)"
