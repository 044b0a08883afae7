"""4 · the graph in TVM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ectoolkit._optional import require
from ectoolkit.analysis.frames import frame
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.workflow.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

    from ectoolkit.builders.cpu.importer import ImportedModule

COLUMNS = ("layer", "op", "kernels", "packed_weights", "output", "dtype", "macs")


class ImportStage(Stage["ImportedModule"]):
    """Imports the graph into TVM.  ``run(layout="NHWC", isa="host")``."""

    number = 4
    title = "Import into TVM"
    attribute = "importer"

    @property
    def upstream(self) -> tuple[Stage[Any], ...]:
        return () if isinstance(self.flow.source, Graph) else (self.flow.quantize,)

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
        """Columns: ``layer``; ``op``; ``kernels`` it became; ``packed_weights`` made at load; ``output``; ``macs``."""
        return frame(result.rows, COLUMNS)

    def summary(self) -> str:
        result = self.result
        kernels = len({step.kernel for step in result.steps})
        return f"{len(result.rows)} layers became {kernels} kernels for {result.isa.name}, layout {result.layout}"
