"""5 · the deploy directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from ectoolkit.analysis.files import file_table
from ectoolkit.builders import build
from ectoolkit.builders.cpu.isa import choose_isa
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import StageError
from ectoolkit.quantization.eager import QuantizedModel
from ectoolkit.workflow.stage import Stage

if TYPE_CHECKING:
    import pandas as pd


class BuildStage(Stage[Deployment]):
    """Builds the deploy directory."""

    number = 5
    title = "Build"
    attribute = "build"

    #: whether the last build started from the import stage's module
    _used_import = False

    @property
    def upstream(self) -> tuple[Stage[Any], ...]:
        imports = (self.flow.importer,) if self._used_import else ()
        quantize = () if isinstance(self.flow.source, Graph) else (self.flow.quantize,)
        return (*quantize, *imports)

    def run(
        self,
        out: str | os.PathLike[str] | None = None,
        target: str = "cpu",
        *,
        layout: str | None = None,
        isa: str | None = None,
        host_arch: str | None = None,
        platform: str | None = None,
        reference_input: Inputs | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Self:
        """Build the deploy directory; the last good one stays until the new one is complete.

        Args:
            out: the directory; ``<name>_deploy`` where None.
            target: ``"cpu"`` (the default); ``"mera:InterpreterHw"``, ``"mera:Simulator"``, ``"mera:IP"`` or
                ``"mera:VerilatorSimulator"`` for EdgeCortix's compiler.
            layout: of 4-D inputs and outputs, ``"NHWC"`` or ``"NCHW"``; the import's, or ``"NHWC"``, where None.
            isa: of the cpu target, as for the import stage; the import's, or ``"host"``, where None.
            host_arch: ``"x86"`` or ``"arm"``; that of `isa`, or this machine's, where None.
            platform: of EdgeCortix, for ``mera:…``; ``"DNAF200L0003"`` where None.
            reference_input: float32 ``(N, C, H, W)``, stored with the interpreter's result for it; the first of the
                reference's images where None.
            progress: called after each step; it may raise to cancel.
            **options: more of `ectoolkit.builders.build`: ``scheduler="slow"`` for ``mera:…``.

        Raises:
            StageError: a stage before this one has not run.
            BuildError: unknown target, or the build failed; the tool's output is in it.
            InputError: the reference input does not fit, or `out` cannot be written.
        """
        named = {"layout": layout, "isa": isa, "host_arch": host_arch, "platform": platform}
        settings = {"target": target, **named, "reference_input": reference_input, **options}
        return self._start(() if out is None else (out,), settings, progress)

    def _run(
        self, progress: Progress, out: str | os.PathLike[str] | None = None, target: str = "cpu", **options: Any
    ) -> Deployment:
        graph = self.flow.quantize.graph
        if self.flow.importer.ready and not self.flow.importer.stale and target == "cpu":
            imported = self.flow.importer.result
            asked = options.get("host_arch")
            if asked is None or choose_isa("host", asked).host_arch == imported.isa.host_arch:
                options = {"layout": imported.layout.value, "isa": imported.isa.name, **options}
                if options["isa"] == imported.isa.name:
                    options["imported"] = imported
        if "reference_input" not in options:
            options["reference_input"] = self._first_image(graph)
        if not isinstance(self.flow.source, Graph):
            options.setdefault("calibration_sha256", self.flow.quantize.result.calibration_sha256)
            quantized = self.flow.quantize.result
            if target.startswith("mera:") and isinstance(quantized, QuantizedModel):  # goes in as it was traced
                options.setdefault("torchscript", quantized.traced)
        self._used_import = "imported" in options
        out = out if out is not None else f"{self.flow.name.replace('/', '_')}_deploy"
        return build(graph, out, target, progress=progress, **options)

    def _first_image(self, graph: Graph) -> Any:
        if not self.flow.interpret.ready:
            raise StageError("the build stores one input and its result; call flow.interpret.run() first")
        batch = graph.values[graph.inputs[0]].spec.shape[0]
        return self.flow.interpret.result.inputs[:batch]

    @property
    def deployment(self) -> Deployment:
        """The deploy directory, checked when it was built."""
        return self.result

    def _table(self, result: Deployment) -> pd.DataFrame:
        return file_table(result.manifest)

    def summary(self) -> str:
        manifest = self.result.manifest
        size = sum(record.size_bytes for record in manifest.files.values())
        return f"{self.result.path.name}: {size / 1e6:.1f} MB for {manifest.platform or manifest.isa}"
