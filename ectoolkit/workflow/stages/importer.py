"""4 · the graph in TVM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ectoolkit._optional import require
from ectoolkit.analysis.frames import frame
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.workflow.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

    from ectoolkit.builders.cpu.importer import ImportedModule

COLUMNS = {
    "layer": "str",
    "op": "str",
    "kernels": "str",
    "tile": "str",
    "packed_weights": "str",
    "output": "str",
    "dtype": "str",
    "macs": "int64",
    "moved_bytes": "int64",
    "predicted_share": "float64",
}


class ImportStage(Stage["ImportedModule"]):
    """Imports the graph into TVM."""

    number = 4
    title = "Import into TVM"
    attribute = "importer"
    shown = ("layer", "op", "kernels", "tile", "output", "macs", "predicted_share")

    @property
    def upstream(self) -> tuple[Stage[Any], ...]:
        return () if isinstance(self.flow.source, Graph) else (self.flow.quantize,)

    def run(
        self,
        *,
        layout: str = "NHWC",
        isa: str = "host",
        host_arch: str | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Import the graph into TVM: which kernels each layer becomes.

        Args:
            layout: of the library's 4-D inputs and outputs: ``"NHWC"`` (the default), as in the U50 guide, or
                ``"NCHW"``.
            isa: ``"host"`` (the default) for the best that this CPU has; ``"avx512vnni"``, ``"avxvnni"``, ``"avx2"``,
                ``"generic"``, ``"neoni8mm"``, ``"neondot"`` or ``"neon"``.
            host_arch: ``"x86"`` or ``"arm"``, the machine that it will run on; that of `isa`, or this one, where None.
            progress: called after each layer; it may raise to cancel.

        Raises:
            StageError: the quantize stage has not run.
            BuildError: an operation has no kernel, or the instruction set is unknown.
            InputError: the layout is neither.
            MissingDependencyError: TVM is not installed.
        """
        return self._start((), {"layout": layout, "isa": isa, "host_arch": host_arch}, progress)

    def _run(self, progress: Progress, **settings: Any) -> ImportedModule:
        # imported here: the kernels are TVMScript, and TVM takes seconds to import or may be absent
        require("tvm", feature="Importing into TVM")
        from ectoolkit.builders.cpu.importer import import_graph

        return import_graph(self.flow.quantize.graph, progress=progress, **settings)

    @property
    def module(self) -> Any:
        """The ``tvm.IRModule``; ``.show()`` prints it."""
        return self.result.module

    def _table(self, result: ImportedModule) -> pd.DataFrame:
        """One row a layer.

        Columns: ``layer``; ``op``; ``kernels`` it became, or the layer that it is computed with; ``tile`` of pixels and
        channels that stay in registers; ``packed_weights`` made at load; ``output``; ``dtype``; ``macs``
        multiply-accumulates; ``moved_bytes`` of inputs, weights and output; ``predicted_share`` of the time of a run,
        by the model of `ectoolkit.builders.cpu.costs`.
        """
        return frame(result.rows, COLUMNS)

    def summary(self) -> str:
        result = self.result
        kernels = len({step.kernel for step in result.steps})
        return f"{len(result.rows)} layers became {kernels} kernels for {result.isa.name}, layout {result.layout}"
