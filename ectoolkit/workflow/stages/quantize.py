"""2 · calibrate, quantize, trace; then tune."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ectoolkit.analysis.layers import layer_table
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import StageError
from ectoolkit.quantization.calibrated import Calibrated, calibrate
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.doors import choose_door
from ectoolkit.quantization.eager import QuantizedModel, quantize_eager
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.statistics import Statistics
from ectoolkit.quantization.statistics_file import load_statistics, save_statistics
from ectoolkit.quantization.tuning import History, State, TuningStep
from ectoolkit.workflow.image_check import warn_of_odd_images
from ectoolkit.workflow.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

Quantized = QuantizedModel | ExportedModel


class QuantizeStage(Stage[Quantized]):
    """Makes the integer graph.

    ``run(method="mse", weights="per_channel", activation_bits=8)``: the fields of `QuantConfig`, or one
    ``run(config)``; ``door`` as for `ectoolkit.quantize`; ``statistics``, a file or an object, from an earlier session.

    The calibration images are seen once: another run, or ``tune("layer", clip=(0, 3))``, takes milliseconds.
    """

    number = 2
    title = "Quantize"
    attribute = "quantize"

    def __init__(self, flow: Any) -> None:
        super().__init__(flow)
        self._calibrated: Calibrated | None = None
        self._collector: Collector | None = None
        self._history: History[Quantized] | None = None

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
        if self._calibrated is None:
            warn_of_odd_images(self.flow.name, getattr(self.flow.source, "preprocess", None), self._images())
        result: Quantized
        if choose_door(module, config, door) == "eager":
            result = quantize_eager(module, self._images(), config, name=self.flow.name, progress=progress)
        else:
            if isinstance(statistics, str | os.PathLike):
                statistics = load_statistics(statistics)
            result = self._calibrate(progress, statistics).quantize(config, progress=progress)
            _ = result.graph  # what cannot be represented is found now, not later
        self._history = History(config, result)
        return result

    def _images(self) -> Any:
        if self.flow.calibration is None:
            raise StageError("there are no calibration images; make the flow with ect.Flow(model, calibration=photos)")
        return self.flow.calibration

    def _calibrate(self, progress: Progress, statistics: Statistics | None) -> Calibrated:
        """The images are seen once; a pass that was cancelled goes on where it stopped."""
        if self._calibrated is None or statistics is not None:
            images = self._images()
            prepared = calibrate(
                self.flow.model.module,
                images,
                name=self.flow.name,
                progress=progress,
                collector=None if statistics is not None else self._collector,
                statistics=statistics,
                keep=self._keep,
            )
            self._calibrated, self._collector = prepared, None
        return self._calibrated

    def _keep(self, collector: Collector) -> None:
        self._collector = collector

    # --- tuning --------------------------------------------------------------------------------------------------

    def tune(self, layer: str | None = None, *, progress: Progress | None = None, **changes: Any) -> Self:
        """Change some settings, of one layer or of the network; only what they touch is made anew.

        Args:
            layer: a name of the first column of `table`; None for the network.
            progress: of corrections, the only part that takes long.
            **changes: fields of `ectoolkit.LayerConfig`, or of `QuantConfig` for the network.

        Returns:
            The stage, so that it displays as a card.

        Raises:
            QuantizationError: there is no such layer or setting, or the value is none of those allowed.
            StageError: the stage has not run.
        """
        history, step = self._tuned(), TuningStep(layer, changes)
        config = history.changed(step)
        self.run(config, door="export", progress=progress)
        history.add(step, config, self.result)
        self._history = history
        return self

    def undo(self) -> Self:
        """Take the last step of tuning back.

        Raises:
            QuantizationError: there is none.
        """
        return self._show(self._tuned().undo())

    def redo(self) -> Self:
        """Make the step again that was undone last.

        Raises:
            QuantizationError: there is none.
        """
        return self._show(self._tuned().redo())

    @property
    def states(self) -> tuple[State[Quantized], ...]:
        """Where the tuning stood: the last run, then every step up to now."""
        return self._tuned().states

    @property
    def log(self) -> list[str]:
        """The steps of tuning in words, in order."""
        return [str(state.step) for state in self.states[1:]]

    def _show(self, state: State[Quantized]) -> Self:
        door = "export" if isinstance(state.result, ExportedModel) else "eager"
        return self._adopt(state.result, (state.config,), {"door": door})

    def _tuned(self) -> History[Quantized]:
        if self._history is None:
            raise StageError(f"{self.title} has not run; call flow.{self.attribute}.run() first")
        return self._history

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
        return layer_table(self.graph)

    def _table(self, result: Quantized) -> pd.DataFrame:
        return layer_table(result.graph)

    def summary(self) -> str:
        graph = self.graph
        macs = int(self.table["macs"].sum())
        images = "" if isinstance(self.flow.source, Graph) else f", {self.result.calibration_images} images"
        return f"{len(graph)} layers, all integer, {macs / 1e9:.2f} GMAC{images}"
