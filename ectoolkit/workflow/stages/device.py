"""6 · run on a device and compare with the reference."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ectoolkit.analysis.diffs import Diff, compare
from ectoolkit.analysis.predictions import top_table
from ectoolkit.core.interpreter import Progress
from ectoolkit.devices import (
    DeviceHealth,
    DeviceInfo,
    Latency,
    RunResult,
    list_devices,
    list_health,
    open_device,
)
from ectoolkit.errors import StageError
from ectoolkit.workflow.deployments import find_deployments
from ectoolkit.workflow.device_html import answers_html, photos_html
from ectoolkit.workflow.stage import Stage
from ectoolkit.workflow.stages.device_questions import DeviceQuestions, Given

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class DeviceRun:
    """What a device gave.

    Attributes:
        run: outputs for the reference's images.
        diff: against the interpreter, element by element.
        latency: of the deployment's own example.
        images: how many of the reference's images were run.
    """

    run: RunResult
    diff: Diff
    latency: Latency
    images: int = 0


def _after(progress: Progress, before: int, total: int) -> Progress:
    """Tells the steps of a part of the work as those of the whole, so many of which were before it."""
    return lambda done, _, label: progress(before + done, total, label)


class DevicePanel(DeviceQuestions[DeviceRun]):
    """Runs the reference's images on a device and compares.

    The other questions, `preflight`, `benchmark`, `judge`, `localize` and `error_map`, take the same as `run`; each
    keeps its last answer in `found`, by its own name, and is cancelled by `cancel`.
    """

    number = 6
    title = "Device"
    attribute = "device"
    #: whether the last good run took the deployment that the flow built
    _used_build = True

    @property
    def upstream(self) -> tuple[Stage[Any], ...]:
        return (self.flow.interpret, self.flow.build) if self._used_build else (self.flow.interpret,)

    # --- what there is -------------------------------------------------------------------------------------------

    @property
    def devices(self) -> list[DeviceInfo]:
        """Every device that is known, with its state."""
        return list_devices()

    @property
    def health(self) -> list[DeviceHealth]:
        """Every device with what its sensors tell; nothing is opened."""
        return list_health()

    @property
    def deployments(self) -> list[Path]:
        """Directories of the reference's graph: the one that was built, those beside it, and in the working folder."""
        built = [self.flow.build.deployment.path] if self.flow.build.ready else []
        if not self.flow.interpret.ready:
            return built
        graph = self.flow.interpret.trace.graph
        folders = [*(path.parent for path in built), Path.cwd()]
        return list(dict.fromkeys([*built, *find_deployments(graph.sha256, folders)]))

    @property
    def image_counts(self) -> list[int]:
        """How many first images of the reference can be asked for, besides all: multiples of the graph's batch."""
        if not self.flow.interpret.ready:
            return []
        graph = self.flow.interpret.trace.graph
        batch = graph.values[graph.inputs[0]].spec.shape[0]
        return list(range(batch, len(self.flow.interpret.result.names), batch))

    # --- run and diff --------------------------------------------------------------------------------------------

    def run(
        self,
        device: str = "cpu",
        runs: int = 20,
        deployment: Given | None = None,
        images: int | None = None,
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> Self:
        """Run the reference's images on a device, compare every element with the interpreter's, and time it.

        Args:
            device: ``"cpu"`` (the default), ``"interpreter"``, ``"xrt:0"``, ``"rpc://host:port"``,
                ``"mera:Simulator"``...; `devices` lists those that there are.
            runs: how many are timed.
            deployment: a directory; the one that was built where None.
            images: the reference's first so many; all where None.
            progress: called after each run; it may raise to cancel.
            **options: of the device: ``threads=2`` for ``"cpu"``.

        Raises:
            StageError: a stage before this one has not run, or is stale.
            DeviceError: there is no such device, or it cannot run this.
            Cancelled: `cancel` was called.
        """
        settings = {"runs": runs, "deployment": deployment, "images": images, **options}
        return self._start((device,), settings, progress)

    def _run(
        self,
        progress: Progress,
        device: str = "cpu",
        runs: int = 20,
        deployment: Given | None = None,
        images: int | None = None,
        **options: Any,
    ) -> DeviceRun:
        reference, found = self._reference(images), self._deployment(deployment)
        warmup, count = min(runs, 10), len(reference.inputs) // found.manifest.inputs[0].shape[0]
        steps = 1 + count + warmup + runs
        with open_device(device, **options) as opened:
            progress(0, steps, "load")
            opened.load(found)
            result = opened.run(found, reference.inputs, progress=_after(progress, 1, steps))
            timing = _after(progress, 1 + count, steps)
            latency = opened.benchmark(found, runs=runs, warmup=warmup, progress=timing).latency
        names = [tensor.name for tensor in found.manifest.outputs]
        diff = compare(result.outputs, reference.trace.outputs, names)
        progress(steps, steps, "compare")
        self._used_build = deployment is None  # last, for it tells of the result that is kept
        return DeviceRun(result, diff, latency, len(reference.names))

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

    # --- what was found ------------------------------------------------------------------------------------------

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an image: float, int8 and device; see `ectoolkit.analysis.predictions.prediction_table`.

        Raises:
            StageError: the model is no classifier with known class names, or the reference has run again since.
        """
        if self.stale:
            raise StageError(
                "the device's results are older than the reference or the build, so they are of other images or codes; "
                "call flow.device.run() again"
            )
        return self.flow.interpret.prediction_table(self._scores(), self.result.images)

    def top(self, count: int = 5) -> pd.DataFrame:
        """The best classes of each image by float, int8 and device; see `ectoolkit.analysis.predictions.top_table`.

        The device's are there after `run`, until a stage before it runs again.

        Raises:
            StageError: the model is no classifier with known class names, or the reference has not run.
        """
        reference = self.flow.interpret.result
        current = self.ready and not self.stale
        images = self.result.images if current else None
        scores = self.flow.interpret.scores(self._scores() if current else {}, images)
        return top_table(scores, self.flow.class_names, reference.first(images).names, count)

    def _scores(self) -> dict[str, np.ndarray]:
        return {self.result.run.device: self.result.run.outputs[0]}

    def save_report(self, path: str | os.PathLike[str]) -> Path:
        """Write the last verdict as a certificate, ``.html`` or ``.json``, with the last times where they are current.

        Raises:
            StageError: nothing was judged yet, or the reference or the build ran again since.
            InputError: the name ends in neither.
        """
        verdict = self.found.get("judge")
        if verdict is None:
            raise StageError("there is no verdict to write; call flow.device.judge() first")
        if self.outdated("judge"):
            raise StageError(
                "the verdict is older than the reference or the build, so it tells of other images or codes; call "
                "flow.device.judge() again"
            )
        times = self.found.get("benchmark")
        if times is not None and not self.outdated("benchmark"):
            facts = {f"{times.device}: {times.deployment} times": str(times.latency)}
            if times.notice:
                facts[f"{times.device}: sensors and times"] = times.notice
            verdict = replace(verdict, facts={**verdict.facts, **facts})
        return verdict.save(path)

    def _table(self, result: DeviceRun) -> pd.DataFrame:
        return result.diff.to_frame()

    def summary(self) -> str:
        return f"{self.verdict}; {self.result.latency}"

    def pictures(self) -> list[tuple[str, str]]:
        """The photos, with the best classes by float, int8 and device; none where the model is no classifier."""
        html = photos_html(self)
        return [("photos: float, int8 and device side by side", html)] if html else []

    def answers_html(self) -> str:
        return answers_html(self)
