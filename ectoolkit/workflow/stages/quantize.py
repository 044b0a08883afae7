"""2 · calibrate, quantize, trace; what can be asked of it then is in `quantize_questions`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ectoolkit.analysis.collapse import warn_of_collapse
from ectoolkit.analysis.columns import describe
from ectoolkit.analysis.layers import layer_table
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.words import counted
from ectoolkit.errors import QuantizationError, StageError
from ectoolkit.quantization.calibrated import Calibrated, calibrate
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.config import LayerConfig, QuantConfig, require_config
from ectoolkit.quantization.doors import choose_door
from ectoolkit.quantization.eager import missing_stubs, quantize_eager
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.network_check import warn_of_few_images
from ectoolkit.quantization.statistics import Statistics
from ectoolkit.quantization.statistics_file import load_statistics, save_statistics
from ectoolkit.workflow.amounts import macs_text
from ectoolkit.workflow.collapse_check import warn_of_collapsed_eager
from ectoolkit.workflow.image_check import warn_of_odd_images
from ectoolkit.workflow.pictures import graph_svg, histogram_svg
from ectoolkit.workflow.stages.quantize_questions import QuantizeQuestions
from ectoolkit.workflow.tuned_stage import Quantized, door_of

if TYPE_CHECKING:
    import pandas as pd


class QuantizeStage(QuantizeQuestions):
    """Makes the integer graph.

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
        self._collector: Collector | None = None
        self._seen: Any = None

    def run(
        self,
        config: QuantConfig | None = None,
        *,
        method: str | None = None,
        percentile: float | None = None,
        weights: str | None = None,
        weight_bits: int | None = None,
        activation_bits: int | None = None,
        symmetric: bool | None = None,
        hardware: str | None = None,
        corrections: str | Sequence[str] | None = None,
        layers: Mapping[str, LayerConfig | Mapping[str, Any]] | None = None,
        fuse: Sequence[Sequence[str]] | None = None,
        door: str = "auto",
        statistics: str | os.PathLike[str] | Statistics | None = None,
        progress: Progress | None = None,
        **unknown: Any,
    ) -> Self:
        """Calibrate and quantize; ``run()`` takes the defaults, ``run(config)`` all settings in one.

        `ectoolkit.QuantConfig` says more of each; a setting that is None is as in `config`.

        Args:
            config: all settings at once, for example ``QuantConfig.accurate()``; the defaults where None.
            method: of choosing an activation's range: ``"typical"`` (the default), ``"mse"``, ``"minmax"``,
                ``"percentile"``, ``"entropy"``, ``"moving_average"`` or ``"median"``.
            percentile: for ``method="percentile"``: above 50 and up to 100, 99.99 by default.
            weights: ``"per_channel"`` (the default) or ``"per_tensor"``.
            weight_bits: 8 (the default) to 2.
            activation_bits: 8 (the default) to 4; the U50 guide's is 7.
            symmetric: real 0 in the middle of the codes; False by default.
            hardware: ``"dna"`` for EdgeCortix's accelerator alone; ``""`` by default.
            corrections: of ``"equalization"``, ``"expected_bias"`` (the default, but not on the U50 guide's way),
                ``"bias"`` and ``"adaround"``; ``()`` for none.
            layers: what single layers have of their own, by name: `ectoolkit.LayerConfig`, or a dict of its fields;
                nothing by default.
            fuse: lists of module names to fuse, for modules with QuantStubs; what torch finds by default.
            door: ``"eager"``, the U50 guide's way, for a module with QuantStubs; ``"export"`` for any; ``"auto"`` (the
                default) takes the first where the module and the settings allow.
            statistics: a file of `save_statistics`, or what ``ect.load_statistics`` gives: of this network and these
                images, which then are not run again.
            progress: called as ``progress(done, total, label)``; it may raise to cancel.
            **unknown: refused, with the settings that there are.

        Returns:
            The stage, so that it displays as a card.

        Raises:
            QuantizationError: a setting is none of those allowed, the model cannot be quantized with them, or the
                statistics are of another network or other images.
            StageError: there are no calibration images, or the stage is running already.
            Cancelled: `cancel` was called; the images seen are not lost.

        Warns:
            PrecisionWarning: next to nothing is left of the model, or the images do not look like the model's.
        """
        settings: dict[str, Any] = {
            "method": method,
            "percentile": percentile,
            "weights": weights,
            "weight_bits": weight_bits,
            "activation_bits": activation_bits,
            "symmetric": symmetric,
            "hardware": hardware,
            "corrections": corrections,
            "layers": layers,
            "fuse": fuse,
            "door": None if door == "auto" else door,
            "statistics": statistics,
        }
        return self._start(() if config is None else (config,), settings | unknown, progress)

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
        config = require_config(config, "flow.quantize.run(method='minmax')").tuned(**settings)
        module = self.flow.model.module
        if self._seen is not self.flow.calibration:  # other images: nothing of the old ones holds
            self._calibrated = self._collector = self._measurement = self._impact = self._measured_on = None
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
            warn_of_few_images(self.flow.name, result.calibration_images)
            warn_of_collapsed_eager(result, self._images(), stacklevel=4)
        else:
            result = self._calibrate(progress, statistics).quantize(config, progress=progress)
            _ = result.graph  # what cannot be represented is found now, not later
            self._measurement = self._looked_into(result)
            warn_of_collapse(result, self._measurement, stacklevel=4)
        self._begin(config, result)
        return result

    def _calibrate(self, progress: Progress, statistics: str | os.PathLike[str] | Statistics | None) -> Calibrated:
        """The images are seen once; a pass that was cancelled goes on where it stopped."""
        if isinstance(statistics, str | os.PathLike):
            statistics = load_statistics(statistics)
        elif not isinstance(statistics, Statistics | None):
            raise StageError(
                f"statistics is {type(statistics).__name__}, expected the path of a file that "
                "flow.quantize.save_statistics wrote, or what ect.load_statistics gives"
            )
        if self._calibrated is None or statistics is not None:
            begun = self._collector
            try:
                self._calibrated = calibrate(
                    self.flow.model.module,
                    self._images(),
                    name=self.flow.name,
                    progress=progress,
                    collector=None if statistics is not None else begun,
                    statistics=statistics,
                    keep=self._keep,
                )
            except QuantizationError:
                self._collector = begun  # statistics that do not fit take nothing away
                raise
            self._collector = self._measurement = self._measured_on = None
        return self._calibrated

    def _keep(self, collector: Collector) -> None:
        self._collector = collector

    # --- what is known -------------------------------------------------------------------------------------------

    def save_statistics(self, path: str | os.PathLike[str]) -> Path:
        """Write what was collected, of a cancelled pass as well, for ``run(statistics=path)`` in another session.

        Raises:
            StageError: nothing was collected.
            InputError: the file cannot be written.
        """
        found = self._collector.statistics if self._collector is not None else self.calibrated.statistics
        return save_statistics(found, path)

    @property
    def door(self) -> str:
        """Which way the last good run went: ``"eager"``, the U50 guide's, or ``"export"``.

        Raises:
            StageError: the stage has not run.
        """
        return door_of(self.result)

    def _decided(self) -> dict[str, Any]:
        """The door that was taken, where the model has two."""
        return {} if missing_stubs(self.flow.model.module) else {"door": self.door}

    @property
    def ready(self) -> bool:
        return isinstance(self.flow.source, Graph) or super().ready

    @property
    def table(self) -> pd.DataFrame:
        if isinstance(self.flow.source, Graph):
            return layer_table(self.graph)
        table = super().table
        table.attrs["door"] = self.door
        return table

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
        text = f"{len(graph)} layers, {kinds}, {macs_text(int(table['macs'].sum()))}"
        if isinstance(self.flow.source, Graph):
            return text
        way = {"eager": "as in the U50 guide", "export": "by torch.export"}[self.door]
        trained = ", in eval() mode though the module is in train mode" if self.flow.model.module.training else ""
        return f"{text}, {counted(self.result.calibration_images, 'image')}, {way}{trained}"
