"""The quantize stage from inside: its layers as table, distribution, channels, graph and maps, and the hand that tunes.

All parts follow one `Selection`.  Whatever is done here is one call that a script can make, listed in
`ectoolkit.widgets.actions`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from ectoolkit._notices import hearing
from ectoolkit.analysis.columns import describe
from ectoolkit.analysis.error_maps import image_errors
from ectoolkit.analysis.measurement import Measurement
from ectoolkit.errors import EctoolkitError, StageError
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.tuning import TuningStep
from ectoolkit.widgets.background import Latest
from ectoolkit.widgets.layer_settings import LayerSettings
from ectoolkit.widgets.parts import HeatMap, HistogramView, LayerGraph, LayerTable
from ectoolkit.widgets.parts.base import plain
from ectoolkit.widgets.selection import Selection
from ectoolkit.widgets.tuning_bar import TuningBar
from ectoolkit.workflow import QuantizeStage, StageEvent, StageState
from ectoolkit.workflow.html import error_html

if TYPE_CHECKING:
    import pandas as pd

#: of a channel table, what the heat map shows
_CHANNEL_ROWS = ("codes_used", "weight_sqnr_db", "isolated_sqnr_db")
_GUIDE = (
    "This model went the U50 guide's way, which keeps no statistics: no distributions and no tuning by hand. "
    "Choose the door export above and run again."
)
_IMAGES = {"row_chooses": "image", "column_chooses": "layer"}
_WRAP = {"flex_flow": "row wrap", "align_items": "flex-start", "grid_gap": "10px 20px"}


class QuantizeExplorer:
    """The parts below the table of a quantize card.

    Attributes:
        selection: what is chosen.
        table: of the card; it shows what a handle that moves would give, and what is stale meanwhile.
        histogram, channels, graph, images, error_map: the parts.
        settings: of the chosen layer.
        bar: undo, redo, script and log.
        message: errors and warnings of the last change.
        view: all of them.
    """

    def __init__(self, stage: QuantizeStage, selection: Selection, table: LayerTable) -> None:
        self._stage = weakref.ref(stage)
        self._revision = (-1, -1)
        self._showing = threading.RLock()
        self._outdated: tuple[tuple[int, str | None], dict[str, list[str]]] = (-1, ""), {}
        self._shown_measurement: weakref.ref[Measurement] | None = None
        self._changes = Latest("ect-tune", on_error=self._tell_error)
        self._looks = Latest("ect-look", after=0.1, on_error=self._tell_error)
        self.selection, self.table = selection, table
        self.histogram = HistogramView(preview=self._preview, apply=self._clip, selection=selection)
        self.channels = HeatMap(selection=selection, column_title="channel", column_chooses="channel")
        self.graph = LayerGraph(selection=selection)
        self.images = HeatMap(selection=selection, row_title="image", column_title="layer", **_IMAGES)
        self.error_map = HeatMap(selection=selection, row_title="y", column_title="x", square=True)
        self.settings = LayerSettings(self.tune)
        self.bar = TuningBar(stage, self.undo, self.redo)
        self.message = ipywidgets.HTML(layout={"display": "none"})
        self.view = self._layout()
        selection.observe(self._choose_layer, "layer")
        selection.observe(self._choose_image, "image")
        self.settings.shows.observe(self._choose_layer, "value")
        stage.observe(self._follow)
        self.refresh()

    def _layout(self) -> ipywidgets.VBox:
        parts = [self.settings.shows, self.histogram, self.settings.view]
        left = ipywidgets.VBox(parts, layout={"flex": "2 1 420px", "min_width": "0"})
        right = ipywidgets.VBox([self.channels, self.error_map], layout={"flex": "1 1 280px", "min_width": "0"})
        view = ipywidgets.VBox(
            [self.bar.view, self.message, ipywidgets.HBox([left, right], layout=_WRAP), self.graph, self.images]
        )
        view.add_class("ect-explorer")
        self.message.add_class("ect-explorer-message")
        return view

    # --- what can be done ----------------------------------------------------------------------------------------

    def tune(self, **changes: Any) -> None:
        """Change settings of the chosen layer, in a thread."""
        layer = self.selection.layer
        if layer:
            self._change(lambda stage: stage.tune(layer, **changes), TuningStep(layer, changes))

    def undo(self) -> None:
        """Take the last change back, in a thread."""
        stage = self._stage()
        step = stage.states[-1].step if stage is not None and stage.can_undo else None
        self._change(lambda stage: stage.undo(), step)

    def redo(self) -> None:
        """Make the change again that was undone last, in a thread."""
        stage = self._stage()
        self._change(lambda stage: stage.redo(), None if stage is None else stage.undone)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until changes and looks that were asked for are done."""
        self._changes.wait(timeout)
        self._looks.wait(timeout)

    def _preview(self, low: float, high: float) -> Any:
        layer = self.selection.layer
        found = self._session().preview(layer, clip=(low, high))
        if self.histogram.at_rest == (low, high):  # taken back
            self.table.live = {}
            self._fresh()
        else:
            self.table.live = {"layer": layer, "values": {"predicted_sqnr_db": plain(found.prediction.sqnr_db)}}
            self._age(layer)
        return found

    def _age(self, layer: str | None) -> None:
        """Mark what a change of a layer, or of the network where None, makes stale until it is measured again."""
        stage = self._stage()
        if stage is None or not stage.ready:
            stale = {}
        elif self._outdated[0] == (stage.generation, layer):  # asked at every step of a drag
            stale = self._outdated[1]
        else:
            stale = stage.outdated_by(layer)
            self._outdated = (stage.generation, layer), stale
        self.table.stale, self.graph.stale = stale, list(stale)

    def _fresh(self) -> None:
        """Nothing is stale."""
        self.table.stale, self.graph.stale = {}, []

    def _clip(self, low: float, high: float) -> None:
        self.tune(clip=(low, high))

    def _session(self) -> QuantizeStage:
        stage = self._stage()
        if stage is None:
            raise StageError("this session is gone; run the cell that makes it again")
        return stage

    def _change(self, work: Callable[[QuantizeStage], object], step: TuningStep | None) -> None:
        if step is not None:
            self._age(step.layer)
        self._busy(True)
        self._changes.submit(lambda: self._work(work))

    def _work(self, work: Callable[[QuantizeStage], object]) -> None:
        shown = ""
        try:
            with hearing() as heard:
                work(self._session())
            shown = "".join(f'<div role="status">⚠ {escape(str(one))}</div>' for one in heard)
        except Exception as error:  # shown, and the controls come back
            shown = error_html(error)
        self._say(shown)
        self.table.live = {}
        self._fresh()
        self._busy(False)
        self.refresh(again=True)

    def _busy(self, busy: bool) -> None:
        self.histogram.busy = busy
        stage = self._stage()
        self.settings.enable(not busy)
        self.bar.enable(
            not busy and stage is not None and stage.can_undo, not busy and stage is not None and stage.can_redo
        )

    def _tell_error(self, error: Exception) -> None:
        self._say(error_html(error))

    def _say(self, html: str) -> None:
        self.message.value = html
        self.message.layout.display = "" if html else "none"

    # --- what is shown -------------------------------------------------------------------------------------------

    def _follow(self, event: StageEvent) -> None:
        if event.kind != "state":
            return
        if event.stage.state is StageState.RUNNING:
            if not self.table.stale:  # a run of all, from the card or from code; a hand's change marked its own
                self._age(None)
            return
        self._fresh()
        self.refresh()

    def refresh(self, *, again: bool = False) -> None:
        """Show the stage's last good result; `again`: even where it is shown already."""
        stage = self._stage()
        if stage is None or not stage.ready:
            self.view.layout.display = "none"
            return
        self.view.layout.display = ""
        self.bar.show(stage)
        if stage.revision == self._revision and not again:
            return
        try:
            if stage.revision != self._revision:
                self._show_graph(stage)
                if stage.is_tunable and not self.selection.layer:
                    self.selection.layer = stage.worst_layer
            self._show_layer(stage)
        except EctoolkitError as error:
            self._say(error_html(error))
        self._looks.submit(self._look)

    def _show_graph(self, stage: QuantizeStage) -> None:
        """Two threads may come with two results: only the newest stays."""
        revision, layout, table = stage.revision, stage.layout(), stage.table
        with self._showing:
            if stage.revision == revision:  # else whoever made a newer one shows that
                self.graph.show(layout, table)
                if revision[0] != self._revision[0]:  # what was said of a change before is of no interest
                    self._say("")
                self._revision = revision

    def _choose_layer(self, change: Any) -> None:
        stage = self._stage()
        if stage is None or not stage.ready:
            return
        try:
            if not self.histogram.busy and stage.state is not StageState.RUNNING:
                self.table.live = {}  # a handle of another layer that was not let go changes nothing
                self._fresh()
            self._show_layer(stage)
        except Exception as error:  # what a page's message raises is told to nobody
            self._tell_error(error)
        self._looks.submit(self._look)

    def _choose_image(self, change: Any) -> None:
        self._looks.submit(self._look)

    def _show_layer(self, stage: QuantizeStage) -> None:
        """What is known at once; first what the eye is on.

        A change that ends and a choice meet here, in two threads: the last shows the layer that is chosen then.
        """
        with self._showing:
            layer = self.selection.layer
            self._show_distribution(stage, layer)
            self.settings.show(stage, layer)

    def _show_distribution(self, stage: QuantizeStage, layer: str) -> None:
        result = stage.result if stage.is_tunable else None
        if not isinstance(result, ExportedModel):
            self.histogram.clear(_GUIDE if result is not None else "An integer graph has no statistics to look at.")
            return
        if not layer:
            self.histogram.clear()
            return
        try:
            shown = stage.histogram(layer, self.settings.shows.value)
            prediction = result.predictions.get(stage.source_of(layer))
            note = (
                ""
                if shown.adjustable or shown.of == "weight"
                else "no range of its own: in float, or of a layer before"
            )
            self.histogram.show(shown, prediction if shown.of == "activation" else None, note)
        except EctoolkitError as error:
            self.histogram.clear(str(error))

    def _look(self) -> None:
        """What takes longer: errors by channel, by image and by position."""
        stage = self._stage()
        if stage is None or not stage.is_tunable or not isinstance(stage.result, ExportedModel):
            for part in (self.channels, self.images, self.error_map):
                part.clear()
            self._shown_measurement = None
            return
        for part, look in (
            (self.channels, self._look_at_channels),
            (self.images, self._look_at_images),
            (self.error_map, self._look_at_positions),
        ):
            if self._looks.waits:
                return
            try:
                look(stage, self.selection.layer)
            except EctoolkitError as error:
                part.clear(str(error))

    def _look_at_channels(self, stage: QuantizeStage, layer: str) -> None:
        if not layer:
            self.channels.clear()
            return
        table = stage.channels(layer)
        rows = [name for name in _CHANNEL_ROWS if name in table and np.isfinite(table[name]).any()]
        if not rows:
            self.channels.clear()
            return
        columns = [describe(name) for name in rows]
        self.channels.show(
            table[rows].to_numpy().T,
            f"channels of {layer}",
            rows=[column.label for column in columns],
            units=[column.unit for column in columns],
            better=[column.better or "" for column in columns],
        )

    def _look_at_images(self, stage: QuantizeStage, layer: str) -> None:
        measured = stage.measure()
        table = image_errors(measured)
        self._colour_by_image(stage, table)
        if self._shown_measurement is not None and measured is self._shown_measurement():
            return
        self._shown_measurement = weakref.ref(measured)
        self.images.show(
            table.drop(columns="layer").to_numpy().T,
            "SQNR by image and layer: choose a cell",
            rows=[f"image {image}" for image in range(table.shape[1] - 1)],
            columns=table["layer"].tolist(),
            units=["dB"],
            better=["high"],
        )

    def _colour_by_image(self, stage: QuantizeStage, errors: pd.DataFrame) -> None:
        """The chosen image's errors in the graph; of all images where none is chosen."""
        name = f"image_{self.selection.image}_sqnr_db"
        if name in errors:
            self.graph.recolour(stage.table_by_image(self.selection.image))
            self.graph.column = name
        elif self.graph.column.startswith("image_"):
            self.graph.recolour(stage.table)

    def _look_at_positions(self, stage: QuantizeStage, layer: str) -> None:
        image = self.selection.image
        if not layer or image < 0:
            self.error_map.clear("Choose an image below to see where in it the error lies." if layer else "")
            return
        found = stage.error_map(layer, image)
        title, picture = f"error in {layer}, image {image}", stage.picture(image)
        self.error_map.show(found, title, units=["rms"], better=["low"], picture=picture)

    def __repr__(self) -> str:
        return f"QuantizeExplorer({self._stage()!r})"
