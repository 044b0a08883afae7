"""6 · run on a device and compare with the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ectoolkit.analysis.diffs import Diff, compare
from ectoolkit.analysis.verdict import Verdict
from ectoolkit.core.interpreter import Progress
from ectoolkit.devices import DeviceInfo, Latency, RunResult, list_devices, open_device
from ectoolkit.errors import StageError
from ectoolkit.workflow.stage import Stage
from ectoolkit.workflow.verdicts import judge_devices

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class DeviceRun:
    """What a device gave.

    Attributes:
        run: outputs for the reference's images.
        diff: against the interpreter, element by element.
        latency: of the deployment's own example.
    """

    run: RunResult
    diff: Diff
    latency: Latency


class DevicePanel(Stage[DeviceRun]):
    """Runs the reference's images on a device and compares.

    ``run(device="cpu", runs=20, **options)``: `runs` are timed; options are the device's, such as ``threads=2``.
    """

    number = 6
    title = "Device"
    attribute = "device"

    @property
    def upstream(self) -> tuple[Stage[Any], ...]:
        return (self.flow.interpret, self.flow.build)

    @property
    def devices(self) -> list[DeviceInfo]:
        """Every device that is known, with its state."""
        return list_devices()

    def _run(self, progress: Progress, device: str = "cpu", runs: int = 20, **options: Any) -> DeviceRun:
        for stage in self.upstream:
            if stage.stale:
                raise StageError(
                    f"{stage.title} is older than what it was made from, so a difference would mean nothing; call "
                    f"flow.{stage.attribute}.run() again first"
                )
        deployment, reference = self.flow.build.deployment, self.flow.interpret.result
        with open_device(device, **options) as opened:
            progress(0, 3, "load")
            opened.load(deployment)
            progress(1, 3, "run")
            result = opened.run(deployment, reference.inputs)
            progress(2, 3, "time")
            latency = opened.benchmark(deployment, runs=runs, warmup=min(runs, 10))
        names = list(deployment.manifest.outputs)
        diff = compare(result.outputs, reference.trace.outputs, [tensor.name for tensor in names])
        progress(3, 3, "compare")
        return DeviceRun(result, diff, latency)

    @property
    def diff(self) -> Diff:
        """The device against the interpreter; truthy when equal."""
        return self.result.diff

    @property
    def verdict(self) -> str:
        """In one line: equal, or where the first difference is."""
        if self.diff:
            return f"{self.result.run.device} equals the interpreter in every element"
        return self.diff.summary().splitlines()[-1]

    def judge(self, device: str = "cpu", *, localize: bool = True, **options: Any) -> Verdict:
        """The whole chain for the reference's images: float → interpreter → device, and where the first link breaks.

        Args:
            device: name, as for `run`; options are the device's.
            localize: search the layer where the device parts from the interpreter.

        Raises:
            StageError: a stage before this one has not run.
        """
        deployment, reference = self.flow.build.deployment, self.flow.interpret.result
        with open_device(device, **options) as opened:
            return judge_devices(
                reference.trace.graph,
                reference.inputs,
                [(opened, deployment)],
                float_outputs=reference.float_outputs,
                preprocess=getattr(self.flow.source, "preprocess", None),
                localize=localize,
            )

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an image: float, int8 and device; see `ectoolkit.analysis.predictions.prediction_table`."""
        return self.flow.interpret.prediction_table({self.result.run.device: self.result.run.outputs[0]})

    def _table(self, result: DeviceRun) -> pd.DataFrame:
        return result.diff.to_frame()

    def summary(self) -> str:
        return f"{self.verdict}; {self.result.latency}"
