"""2 · calibrate, quantize, trace; then look into it and tune."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ectoolkit.analysis.channels import channel_table
from ectoolkit.analysis.collapse import warn_of_collapse
from ectoolkit.analysis.columns import describe
from ectoolkit.analysis.error_maps import error_map, image_errors
from ectoolkit.analysis.histograms import Histogram, histogram
from ectoolkit.analysis.images import image_table
from ectoolkit.analysis.impact import Impact, measure_impact
from ectoolkit.analysis.layers import layer_table
from ectoolkit.analysis.layouts import GraphLayout, layout
from ectoolkit.analysis.measurement import Measurement, measure
from ectoolkit.analysis.plots import draw_layers
from ectoolkit.analysis.previews import Preview, preview
from ectoolkit.analysis.ranking import Sensitivity, sensitivity
from ectoolkit.analysis.search import AutoResult, Budget, auto
from ectoolkit.analysis.states import compare_states
from ectoolkit.analysis.sufficiency import sufficiency_table
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import StageError
from ectoolkit.quantization.calibrated import Calibrated, calibrate
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.doors import choose_door
from ectoolkit.quantization.eager import quantize_eager
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.statistics import Statistics
from ectoolkit.quantization.statistics_file import load_statistics, save_statistics
from ectoolkit.workflow.collapse_check import LOOKED_AT, warn_of_collapsed_eager
from ectoolkit.workflow.image_check import warn_of_odd_images
from ectoolkit.workflow.pictures import graph_svg, histogram_svg
from ectoolkit.workflow.tuned_stage import Quantized, TunedStage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class QuantizeStage(TunedStage):
    """Makes the integer graph.

    ``run(method="typical", weights="per_channel", activation_bits=8)``: the fields of `QuantConfig`, or one
    ``run(config)``; ``door`` as for `ectoolkit.quantize`; ``statistics``, a file or an object, from an earlier session.

    The calibration images are seen once: another run, or ``tune("layer", clip=(0, 3))``, makes new scales in
    milliseconds and measures the changed layers, and those behind them, on a few of the images.
    """

    number = 2
    title = "Quantize"
    attribute = "quantize"
    shown = (
        "layer",
        "op",
        "cumulative_sqnr_db",
        "isolated_sqnr_db",
        "predicted_sqnr_db",
        "impact_sqnr_db",
        "bits",
        "method",
        "clip",
        "saturated_high",
        "output",
        "macs",
        "scale",
        "zero_point",
        "range_min",
        "range_max",
        "kind",
        "note",
    )

    def __init__(self, flow: Any) -> None:
        super().__init__(flow)
        self._calibrated: Calibrated | None = None
        self._collector: Collector | None = None
        self._measurement: Measurement | None = None
        self._impact: Impact | None = None
        self._seen: Any = None

    # --- running -------------------------------------------------------------------------------------------------

    def _run(
        self,
        progress: Progress,
        config: QuantConfig | None = None,
        *,
        door: str = "auto",
        statistics: str | os.PathLike[str] | Statistics | None = None,
        **settings: Any,
    ) -> Quantized:
        if isinstance(self.flow.source, Graph):
            raise StageError(f"{self.flow.name} is an integer graph already; go on with flow.interpret.run()")
        config = (config or QuantConfig()).tuned(**settings)
        module = self.flow.model.module
        if self._seen is not self.flow.calibration:  # other images: nothing of the old ones holds
            self._calibrated = self._collector = self._measurement = self._impact = None
            self._seen = self.flow.calibration
        if statistics is not None and door == "eager":
            raise StageError(
                "the U50 guide's way collects with torch's own observers; use statistics with door='export'"
            )
        if self._calibrated is None:
            warn_of_odd_images(self.flow.name, getattr(self.flow.source, "preprocess", None), self._images())
        result: Quantized
        if statistics is None and choose_door(module, config, door) == "eager":
            result = quantize_eager(module, self._images(), config, name=self.flow.name, progress=progress)
            warn_of_collapsed_eager(result, self._images(), stacklevel=4)
        else:
            result = self._calibrate(progress, statistics).quantize(config, progress=progress)
            _ = result.graph  # what cannot be represented is found now, not later
            self._measurement = self._looked_into(result)
            warn_of_collapse(result, self._measurement, stacklevel=4)
        self._begin(config, result)
        return result

    def _images(self) -> Any:
        if self.flow.calibration is None:
            raise StageError("there are no calibration images; make the flow with ect.Flow(model, calibration=photos)")
        return self.flow.calibration

    def _calibrate(self, progress: Progress, statistics: str | os.PathLike[str] | Statistics | None) -> Calibrated:
        """The images are seen once; a pass that was cancelled goes on where it stopped."""
        if isinstance(statistics, str | os.PathLike):
            statistics = load_statistics(statistics)
        if self._calibrated is None or statistics is not None:
            self._calibrated = calibrate(
                self.flow.model.module,
                self._images(),
                name=self.flow.name,
                progress=progress,
                collector=None if statistics is not None else self._collector,
                statistics=statistics,
                keep=self._keep,
            )
            self._collector = self._measurement = None
        return self._calibrated

    def _keep(self, collector: Collector) -> None:
        self._collector = collector

    def _looked_into(self, result: ExportedModel) -> Measurement:
        """Only layers that a change touched, and those after them, run again."""
        if self._measurement is not None:
            return self._measurement.update(result)
        return measure(result, self.calibrated.images(LOOKED_AT), limit=LOOKED_AT)

    # --- looking into it -----------------------------------------------------------------------------------------

    def measure(self, images: Iterable[Any] | None = None, *, progress: Progress | None = None) -> Measurement:
        """Measure every layer's error on images of one's own; `table` and every step of tuning then show these.

        Args:
            images: preprocessed, or an image set; a few of the calibration images where None.
            progress: called after each layer; it may raise to cancel.

        Raises:
            StageError: the stage has not run, or went the U50 guide's way.
        """
        model = self._exported()
        if images is not None:
            images = self.flow.preprocessed(images)
            self._measurement, self._impact = measure(model, images, progress, limit=None), None
        elif self._measurement is None:
            self._measurement = self._looked_into(model)
        else:
            self._measurement = self._measurement.update(model)
        self._frame = None
        return self._measurement

    def measure_impact(self, *, progress: Progress | None = None) -> Impact:
        """Measure what each layer alone costs at the outputs; `table` then shows it.

        Raises:
            StageError: the stage has not run, or went the U50 guide's way.
        """
        self._impact = measure_impact(self._exported(), self.measure(), progress=progress)
        self._frame = None
        return self._impact

    def sensitivity(self, *, top: int = 3, progress: Progress | None = None) -> Sensitivity:
        """The layers by what they cost, and what helps the worst `top`, tried out; see `ectoolkit.analysis`.

        Raises:
            StageError: the stage has not run, or went the U50 guide's way.
        """
        self._exported()
        images = self.calibrated.images(LOOKED_AT)
        return sensitivity(self.calibrated, self.states[-1].config, images, progress, top=top)

    def auto(self, budget: Budget, *, progress: Progress | None = None) -> AutoResult:
        """Tune layer after layer until the target is met; each step goes into the log and can be undone.

        Raises:
            StageError: the stage has not run, or went the U50 guide's way.
        """
        self._exported()
        images = self.calibrated.images(LOOKED_AT)
        found = auto(self.calibrated, self.states[-1].config, budget, images, progress=progress)
        for step in found.steps:
            change: dict[str, Any] = {step.setting: step.value}
            self.tune(step.layer, progress=progress, **change)
        return found

    def source_of(self, layer: str) -> str:
        """The layer or input of the float network that a row of `table` is about: of ``quantize`` the input."""
        node = self.graph.producer(layer)
        return node.inputs[0] if node is not None and node.op == "quantize" else layer

    def channels(self, layer: str) -> pd.DataFrame:
        """One row an output channel of a layer; see `ectoolkit.analysis.channel_table`."""
        return channel_table(self._exported(), self.source_of(layer), self.measure())

    def histogram(self, layer: str, of: str = "activation") -> Histogram:
        """The distribution of a layer's values or weights beside its grid; see `ectoolkit.analysis.histogram`."""
        return histogram(self._exported(), self.source_of(layer), of)

    def preview(self, layer: str, **changes: Any) -> Preview:
        """What ``tune(layer, **changes)`` would give, from statistics alone; see `ectoolkit.analysis.preview`."""
        return preview(self._exported(), self.source_of(layer), **changes)

    def image_errors(self, kind: str = "cumulative") -> pd.DataFrame:
        """Every layer's SQNR for every measured image; see `ectoolkit.analysis.image_errors`."""
        return image_errors(self.measure(), kind)

    def error_map(self, layer: str, image: int, kind: str = "cumulative") -> np.ndarray:
        """Where in a layer's value an image's error lies; see `ectoolkit.analysis.error_map`."""
        return error_map(self.measure(), self.source_of(layer), image, kind)

    def layout(self) -> GraphLayout:
        """Places for the graph's layers on paper; see `ectoolkit.analysis.layout`."""
        return layout(self.graph)

    def plot(self, columns: list[str] | None = None, axes: Any = None) -> Any:
        """A matplotlib picture of the layers' SQNR; see `ectoolkit.analysis.plots.draw_layers`."""
        return draw_layers(self.table, columns, axes)

    def image_table(self, images: Any = None, *, progress: Progress | None = None) -> pd.DataFrame:
        """One row an image: which flip, and the layer that explains it; see `ectoolkit.analysis.image_table`.

        Args:
            images: preprocessed, or an image set; the calibration images where None.
            progress: called after each few images; it may raise to cancel.
        """
        images = self._images() if images is None else self.flow.preprocessed(images)
        names, labels = getattr(images, "names", None), getattr(images, "labels", None)
        return image_table(self._exported(), images, names, labels, progress=progress)

    def sufficiency(self) -> pd.DataFrame:
        """How much each scale still moved as images were added; see `ectoolkit.analysis.sufficiency_table`."""
        return sufficiency_table(self.calibrated.statistics)

    def compare(self, first: int = -2, second: int = -1) -> pd.DataFrame:
        """Two of `states` side by side; see `ectoolkit.analysis.compare_states`."""
        if len(self.states) < 2:
            raise StageError("there is only one state; change something with flow.quantize.tune(...) first")
        chosen = [self.states[index].result for index in (first, second)]
        models = [model for model in chosen if isinstance(model, ExportedModel)]
        if len(models) < 2:
            raise StageError("one of the states went the U50 guide's way; call flow.quantize.run(door='export') first")
        before, after = models
        measured = self.measure()
        return compare_states(before, after, measured.update(before), measured.update(after))

    def _exported(self) -> ExportedModel:
        if not isinstance(self.result, ExportedModel):
            raise StageError(
                "this model went the U50 guide's way, which keeps no statistics; call "
                "flow.quantize.run(door='export') first"
            )
        return self.result

    # --- what is known -------------------------------------------------------------------------------------------

    @property
    def calibrated(self) -> Calibrated:
        """The float network with its statistics: for `ectoolkit.analysis`, and for settings tried without the stage.

        Raises:
            StageError: the stage has not run, or went the U50 guide's way, which keeps no statistics.
        """
        if self._calibrated is None:
            raise StageError("there are no statistics; call flow.quantize.run(door='export') first")
        return self._calibrated

    def save_statistics(self, path: str | os.PathLike[str]) -> Path:
        """Write what was collected, of a cancelled pass as well, for ``run(statistics=path)`` in another session.

        Raises:
            StageError: nothing was collected.
            InputError: the file cannot be written.
        """
        found = self._collector.statistics if self._collector is not None else self.calibrated.statistics
        return save_statistics(found, path)

    @property
    def graph(self) -> Graph:
        """The integer graph.

        Raises:
            StageError: the stage has not run.
        """
        return self.flow.source if isinstance(self.flow.source, Graph) else self.result.graph

    @property
    def ready(self) -> bool:
        return isinstance(self.flow.source, Graph) or super().ready

    @property
    def table(self) -> pd.DataFrame:
        return layer_table(self.graph) if isinstance(self.flow.source, Graph) else super().table

    def _table(self, result: Quantized) -> pd.DataFrame:
        if not isinstance(result, ExportedModel):
            return layer_table(result.graph)
        if self._measurement is not None:
            self._measurement = self._measurement.update(result)
        if self._impact is not None:
            self._impact = self._impact.update(result)
        return layer_table(result, self._measurement, self._impact, result.predictions)

    def pictures(self) -> list[tuple[str, str]]:
        """The graph, shaded by how far each layer is from the float model, and the layer whose grid costs it most."""
        table = self.table
        column = next(name for name in ("cumulative_sqnr_db", "macs") if name in table)
        known = dict(zip(table["layer"], table[column].tolist(), strict=True))
        found, what = self.layout(), describe(column)
        values = [known.get(name) for name in found.names]
        title = " ".join(filter(None, (f"graph by {what.label}", what.unit)))
        shown = [(title, graph_svg(found, values, what.better or "", what.unit))]
        if "predicted_sqnr_db" in table and table["predicted_sqnr_db"].notna().any():
            worst = str(table["layer"][int(table["predicted_sqnr_db"].argmin())])
            shown.append((f"distribution of {worst}", histogram_svg(self.histogram(worst))))
        return shown

    def summary(self) -> str:
        graph, table = self.graph, self.table
        floating = int((table["kind"] == "float").sum())
        kinds = "all integer" if not floating else f"{len(graph) - floating} integer, {floating} float"
        images = "" if isinstance(self.flow.source, Graph) else f", {self.result.calibration_images} images"
        return f"{len(graph)} layers, {kinds}, {table['macs'].sum() / 1e9:.2f} GMAC{images}"
