"""2 · calibrate, quantize, trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ectoolkit.analysis.layers import layer_table
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import StageError
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.doors import quantize_module
from ectoolkit.quantization.eager import QuantizedModel
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.workflow.stage import Stage

if TYPE_CHECKING:
    import pandas as pd


class QuantizeStage(Stage[QuantizedModel | ExportedModel]):
    """Makes the integer graph.

    ``run(method="mse", weights="per_channel", activation_bits=8)``: the fields of `QuantConfig`.
    """

    number = 2
    title = "Quantize"
    attribute = "quantize"

    def _run(self, progress: Progress, **settings: Any) -> QuantizedModel | ExportedModel:
        if isinstance(self.flow.source, Graph):
            raise StageError(f"{self.flow.name} is an integer graph already; go on with flow.interpret.run()")
        if self.flow.calibration is None:
            raise StageError("there are no calibration images; make the flow with ect.Flow(model, calibration=photos)")
        config = QuantConfig(**settings)
        module = self.flow.model.module
        return quantize_module(module, self.flow.calibration, config, name=self.flow.name, progress=progress)

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

    def _table(self, result: QuantizedModel | ExportedModel) -> pd.DataFrame:
        return layer_table(result.graph)

    def summary(self) -> str:
        graph = self.graph
        macs = int(self.table["macs"].sum())
        images = "" if isinstance(self.flow.source, Graph) else f", {self.result.calibration_images} images"
        return f"{len(graph)} layers, all integer, {macs / 1e9:.2f} GMAC{images}"
