"""What can be asked of a quantization: each layer's errors, distributions, channels, images, and what would help."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit.analysis.channels import channel_table
from ectoolkit.analysis.error_maps import error_map, image_errors
from ectoolkit.analysis.histograms import Histogram, histogram
from ectoolkit.analysis.images import image_table
from ectoolkit.analysis.impact import Impact, measure_impact
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
from ectoolkit.data.sources import ArraySource, Item
from ectoolkit.data.thumbnails import thumbnail
from ectoolkit.errors import InputError, StageError
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import LayerConfig
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.workflow.collapse_check import LOOKED_AT
from ectoolkit.workflow.tuned_stage import TunedStage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class OwnSettings:
    """What a layer has of its own, and what it can have.

    Attributes:
        config: its settings; None in a field is the network's.
        is_layer: it can stay in float; not where it is an input.
        has_weights: it has settings of weights.
        keeps_grid: its values lie on the grid of a layer before, and so it has no settings.
    """

    config: LayerConfig
    is_layer: bool
    has_weights: bool
    keeps_grid: bool


class QuantizeQuestions(TunedStage):
    """The questions; a subclass fills `_calibrated`, and forgets what is known where other images come."""

    def __init__(self, flow: Any) -> None:
        super().__init__(flow)
        self._calibrated: Calibrated | None = None
        self._measurement: Measurement | None = None
        self._impact: Impact | None = None
        self._measured_on: Any = None  # images of one's own; None: the first of the calibration images

    # --- what they are about -------------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The integer graph.

        Raises:
            StageError: the stage has not run.
        """
        return self.flow.source if isinstance(self.flow.source, Graph) else self.result.graph

    @property
    def calibrated(self) -> Calibrated:
        """The float network with its statistics: for `ectoolkit.analysis`, and for settings tried without the stage.

        Raises:
            StageError: the stage has not run, or went the U50 guide's way, which keeps no statistics.
        """
        if self._calibrated is None:
            raise StageError("there are no statistics; call flow.quantize.run(door='export') first")
        return self._calibrated

    def _images(self) -> Any:
        if self.flow.calibration is None:
            raise StageError("there are no calibration images; make the flow with ect.Flow(model, calibration=photos)")
        return self.flow.calibration

    def _exported(self) -> ExportedModel:
        if not isinstance(self.result, ExportedModel):
            raise StageError(
                "this model went the U50 guide's way, which keeps no statistics; call "
                "flow.quantize.run(door='export') first"
            )
        return self.result

    def _looked_into(self, result: ExportedModel) -> Measurement:
        """Only layers that a change touched, and those after them, run again."""
        if self._measurement is not None:
            return self._measurement.update(result)
        return measure(result, self.calibrated.images(LOOKED_AT), limit=LOOKED_AT)

    # --- the questions ---------------------------------------------------------------------------------------------

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
            self._measured_on = images
            self._looked()
        elif self._measurement is None:
            self._measurement, self._frame = self._looked_into(model), None
        else:
            self._measurement = self._measurement.update(model)
        return self._measurement

    def measure_impact(self, *, progress: Progress | None = None) -> Impact:
        """Measure what each layer alone costs at the outputs; `table` then shows it.

        Raises:
            StageError: the stage has not run, or went the U50 guide's way.
        """
        self._impact = measure_impact(self._exported(), self.measure(), progress=progress)
        self._looked()
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
        if not isinstance(budget, Budget):
            raise StageError(f"budget is {budget!r}, expected for example ectoolkit.analysis.Budget(sqnr_db=15)")
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

    def picture(self, image: int) -> str:
        """A measured image as the model is given it, so that `error_map` lies over it.

        Returns:
            A ``data:`` address; empty where it is no picture, or the images came one by one and are gone.
        """
        images = self.flow.calibration if self._measured_on is None else self._measured_on
        if not 0 <= image < (len(images) if hasattr(images, "__len__") and hasattr(images, "__getitem__") else 0):
            return ""
        array = np.asarray(images[image])
        if array.dtype != np.float32 or array.ndim != 3 or len(array) != 3 or not np.isfinite(array).all():
            return ""
        return thumbnail(Item(f"image {image}", ArraySource(array)))

    def table_by_image(self, image: int) -> pd.DataFrame:
        """`table` with one image's SQNR of every layer in a column more, ``image_<number>_sqnr_db``.

        Raises:
            InputError: so many images were not measured.
        """
        table, name, errors = self.table, f"image_{image}_sqnr_db", self.image_errors()
        if name not in errors:
            raise InputError(f"there is no image {image}; {errors.shape[1] - 1} were measured, counted from 0")
        known = dict(zip(errors["layer"], errors[name], strict=True))
        table[name] = [known.get(self.source_of(layer), float("nan")) for layer in table["layer"]]
        return table

    def own_settings(self, layer: str) -> OwnSettings:
        """What a layer has of its own.

        Raises:
            StageError: the stage has not run, or went the U50 guide's way.
        """
        model, name = self._exported(), self.source_of(layer)
        known = next((one for one in model.network.layers if one.name == name), None)
        return OwnSettings(
            model.config.layers.get(name, LayerConfig()),
            is_layer=known is not None,
            has_weights=known is not None and known.weight is not None,
            keeps_grid=known is not None and known.keeps_grid,
        )

    @property
    def worst_layer(self) -> str:
        """The layer that loses most by itself, inputs aside; empty where no layer has a number."""
        table = self.table
        for name in ("isolated_sqnr_db", "predicted_sqnr_db"):
            known = (
                table[(table["op"] != "quantize") & table[name].abs().lt(float("inf"))] if name in table else table[:0]
            )
            if len(known):
                return str(known.sort_values(name, kind="stable")["layer"].iloc[0])
        return ""

    def outdated_by(self, layer: str | None) -> dict[str, list[str]]:
        """By layer the columns of `overview` that a change of one layer makes stale until they are measured again.

        Those that are measured with all that is before a layer are so behind it too, those of a layer alone at it only.
        A change of the network's settings, `layer` None, makes them stale for all.
        """
        names = self.overview.columns
        behind = [name for name in names if name.startswith("cumulative_")]
        own = [name for name in names if name.startswith(("isolated_", "saturated_"))]
        if layer is None:
            return {str(one): [*behind, *own] for one in self.overview["layer"]} if behind or own else {}
        return {one: list(behind) for one in self.layout().behind(layer)} | {layer: [*behind, *own]}

    def layout(self) -> GraphLayout:
        """Places for the graph's layers on paper; see `ectoolkit.analysis.layout`."""
        return layout(self.graph)

    def plot(self, columns: list[str] | None = None, axes: Any = None) -> Any:
        """A matplotlib picture of the layers' SQNR; see `ectoolkit.analysis.plots.draw_layers`."""
        return draw_layers(self.table, columns, axes)

    def image_table(self, images: Any = None, *, progress: Progress | None = None) -> pd.DataFrame:
        """One row an image: which flip, and the layer that explains it; see `ectoolkit.analysis.image_table`.

        Classes have their names where the flow knows them (`Flow.class_names`).

        Args:
            images: preprocessed, or an image set; the calibration images where None.
            progress: called after each few images; it may raise to cancel.
        """
        images = self._images() if images is None else self.flow.preprocessed(images)
        names, labels = getattr(images, "names", None), getattr(images, "labels", None)
        model, known = self._exported(), self.flow.class_names
        output = model.graph.values[model.graph.outputs[0]].spec.shape
        classes = known if len(output) == 2 and output[1] == len(known) else ()
        return image_table(model, images, names, labels, progress=progress, class_names=classes)

    def sufficiency(self) -> pd.DataFrame:
        """How much each scale still moved as images were added; see `ectoolkit.analysis.sufficiency_table`."""
        return sufficiency_table(self.calibrated.statistics)

    def compare(self, first: int = -2, second: int = -1) -> pd.DataFrame:
        """Two of `states` side by side; see `ectoolkit.analysis.compare_states`."""
        if len(self.states) < 2:
            raise StageError("there is only one state; change something with flow.quantize.tune(...) first")
        count = len(self.states)
        for index in (first, second):
            if not -count <= index < count:
                raise StageError(f"there is no state {index}: there are {count}, counted from 0, or from -1 backwards")
        chosen = [self.states[index].result for index in (first, second)]
        models = [model for model in chosen if isinstance(model, ExportedModel)]
        if len(models) < 2:
            raise StageError("one of the states went the U50 guide's way; call flow.quantize.run(door='export') first")
        before, after = models
        measured = self.measure()
        return compare_states(before, after, measured.update(before), measured.update(after))
