"""A layer's distribution with its grid, two handles that clip it, and what that costs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import traitlets

from ectoolkit.analysis.histograms import Histogram
from ectoolkit.analysis.previews import Preview
from ectoolkit.errors import EctoolkitError
from ectoolkit.quantization.prediction import Prediction
from ectoolkit.widgets.parts.base import Part, packed, plain
from ectoolkit.widgets.selection import Selection


class HistogramView(Part):
    """A histogram.

    A handle is dragged, or moved with the arrow keys by one code (with Shift by ten), Home and End; while it moves
    `preview` says what it costs, and where it is let go `apply` is called.  Enter applies at once, Escape takes the
    handle back.

    Args:
        preview: from the two ends, real units, to what they would give; `flow.quantize.preview` is meant.
        apply: is given the two ends.
        selection: whose channel is marked.

    Traits, all synchronized:
        caption, note: what it shows, and what there is to say of it.
        shares: float32 bytes; begin, width: of the bins, real units.
        channels: float32 bytes ``(channels, 3)``: smallest, largest and mean value.
        grid: ``[scale, zero_point, quant_min, quant_max]``; empty for real numbers.
        ends: where the handles stand; empty where there is no range.
        adjustable: whether they can be moved.
        noise: what the ends cost: ``sqnr_db`` and its parts ``rounding_db``, ``clipping_db``, ``weights_db``, all
            decibels; ``clipped_low`` and ``clipped_high``, shares of the values of so many ``images``.
        settled: counts how often handles were let go.
        busy: whether `apply` is at work.
        channel: as in `Selection`.
    """

    script = "histogram"
    follows: ClassVar[tuple[str, ...]] = ("channel",)
    page_sets: ClassVar[tuple[str, ...]] = ("ends", "settled")
    caption = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    shares = traitlets.Bytes().tag(sync=True)
    begin = traitlets.Float(0.0).tag(sync=True)
    width = traitlets.Float(1.0).tag(sync=True)
    channels = traitlets.Bytes().tag(sync=True)
    grid = traitlets.List(traitlets.Float()).tag(sync=True)
    ends = traitlets.List(traitlets.Float()).tag(sync=True)
    adjustable = traitlets.Bool(False).tag(sync=True)
    noise = traitlets.Dict().tag(sync=True)
    settled = traitlets.Int(0).tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    channel = traitlets.Int(-1).tag(sync=True)

    def __init__(
        self,
        histogram: Histogram | None = None,
        *,
        preview: Callable[[float, float], Preview] | None = None,
        apply: Callable[[float, float], object] | None = None,
        selection: Selection | None = None,
        **traits: Any,
    ) -> None:
        super().__init__(selection=selection, **traits)
        self._preview, self._apply = preview, apply
        #: a change that ends shows the distribution in one thread, and the message of a drag comes in another
        self._at_work = threading.RLock()
        self._showing = False
        #: where the ends stood when the distribution was shown
        self.at_rest: tuple[float, ...] = ()
        if histogram is not None:
            self.show(histogram)

    def show(self, histogram: Histogram, prediction: Prediction | None = None, note: str = "") -> None:
        """Show a distribution, and what its grid costs where that is known."""
        columns = (histogram.channel_minimum, histogram.channel_maximum, histogram.channel_mean)
        with self._at_work, self.hold_sync():
            self._showing = True
            try:
                how = f", range {histogram.method}" if histogram.method else ""
                self.caption = f"{histogram.layer}: {histogram.of}{how}"
                self.note = note
                self.shares = packed(histogram.shares, "float32")
                self.begin, self.width = histogram.begin, histogram.width
                self.channels = packed(np.stack(columns, axis=1), "float32")
                self.grid = _numbers(histogram.grid)
                self.ends = list(histogram.range) if histogram.grid is not None else []
                self.at_rest = tuple(self.ends)
                self.adjustable = histogram.adjustable and self._apply is not None
                self.noise = {} if prediction is None else _parts(prediction)
            finally:
                self._showing = False

    def clear(self, note: str = "") -> None:
        """Show nothing but a note."""
        with self.hold_sync():
            self.caption, self.note, self.shares, self.channels = "", note, b"", b""
            self.grid, self.noise, self.adjustable = [], {}, False

    @traitlets.observe("ends")
    def _dragged(self, change: Any) -> None:
        with self._at_work:
            if not self._showing and self._preview is not None and len(change["new"]) == 2:
                self._price(self._preview, *change["new"])

    def _price(self, price: Callable[[float, float], Preview], low: float, high: float) -> None:
        try:
            found = price(low, high)
        except EctoolkitError as error:
            self.note, self.noise = str(error), {}
            return
        with self.hold_sync():
            self.note, self.grid = "", _numbers(found.grid)
            self.noise = _parts(found.prediction) | {
                "clipped_low": found.clipped_low,
                "clipped_high": found.clipped_high,
                "images": found.images,
            }

    @traitlets.observe("settled")
    def _let_go(self, change: Any) -> None:
        if self._apply is not None and len(self.ends) == 2:
            self._apply(*self.ends)

    def __repr__(self) -> str:
        return f"HistogramView({self.caption!r})"


def _numbers(grid: Any) -> list[float]:
    if grid is None:
        return []
    return [float(grid.scalar), float(grid.zero_point), float(grid.quant_min), float(grid.quant_max)]


def _parts(prediction: Prediction) -> dict[str, Any]:
    return {name: plain(getattr(prediction, name)) for name in ("sqnr_db", "rounding_db", "clipping_db", "weights_db")}
