"""What can be asked of a device besides a run: preflight, times, verdict, where it parts, where a layer differs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ectoolkit.analysis.link_maps import ErrorMap, map_of_codes, map_of_float
from ectoolkit.analysis.verdict import Location, Verdict
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.words import counted
from ectoolkit.devices import (
    Benchmark,
    Device,
    open_device,
)
from ectoolkit.errors import DeviceError, StageError, UntrustedError
from ectoolkit.workflow.deployments import deployment_for
from ectoolkit.workflow.preflight import Preflight, ask, device_state, input_state
from ectoolkit.workflow.script import Step
from ectoolkit.workflow.stage import Stage
from ectoolkit.workflow.stages.interpret import Reference
from ectoolkit.workflow.verdicts import judge_devices, layer_of, locate

#: what names a deployment: its directory, or itself
Given = str | os.PathLike[str] | Deployment
Result = TypeVar("Result")
Found = TypeVar("Found", Preflight, Benchmark, Verdict, "Localized", ErrorMap)


@dataclass(frozen=True, eq=False)
class Localized:
    """Where a device parts from the interpreter; `location` is None where it does not."""

    device: str
    location: Location | None


def _require_fresh(stage: Stage[Any]) -> None:
    if stage.stale:
        raise StageError(
            f"{stage.title} is older than what it was made from, so a difference would mean nothing; call "
            f"flow.{stage.attribute}.run() again first"
        )


def _writable(given: Any) -> Any:
    """A deployment as its directory, which a script can name."""
    if isinstance(given, Mapping):
        return {name: _writable(one) for name, one in given.items()}
    return str(given.path) if isinstance(given, Deployment) else given


def _fits(device: Device, deployment: Deployment) -> bool:
    try:
        device.check(deployment)
    except UntrustedError:  # it fits; another one in its place would be a surprise
        raise
    except DeviceError:
        return False
    return True


class DeviceQuestions(Stage[Result]):
    """The questions; each keeps its last answer in `found`, by its own name, and is cancelled by `cancel`.

    Attributes:
        found: the last answers.
    """

    def __init__(self, flow: Any) -> None:
        super().__init__(flow)
        self.found: dict[str, Any] = {}
        self._found_for: dict[str, tuple[int, int]] = {}

    def _deployment(self, given: Given | None) -> Deployment:
        if given is not None:
            return deployment_for(given, self._reference(None).trace.graph)
        _require_fresh(self.flow.build)
        return self.flow.build.deployment

    def _reference(self, images: int | None) -> Reference:
        """The reference, or its first images."""
        _require_fresh(self.flow.interpret)
        return self.flow.interpret.result.first(images)

    def _step(self, method: str, *arguments: Any, **settings: Any) -> Step:
        """A question for the log; settings that were left out stay out."""
        given = {name: _writable(value) for name, value in settings.items() if value is not None}
        return Step(self.attribute, arguments, given, method)

    def _keep(self, step: Step, progress: Progress | None, answer: Callable[[Progress], Found]) -> Found:
        """Answer while the stage is held; log the question, and remember for which reference and build it was."""
        name = step.method
        with self._at_work(progress) as report:
            basis = (self.flow.interpret.generation, self.flow.build.generation)
            found = answer(report)
            self.found[name], self._found_for[name] = found, basis
            self.flow.log.append(step)
        return found

    def outdated(self, name: str) -> bool:
        """Whether an answer in `found` is older than the reference or the build."""
        now = (self.flow.interpret.generation, self.flow.build.generation)
        return name in self.found and self._found_for[name] != now

    def preflight(
        self,
        device: str = "cpu",
        *,
        deployment: Given | None = None,
        images: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Preflight:
        """Look for what would go wrong, before anything is opened or run.  What is wrong is in the answer."""

        def fits() -> str:
            found = self._deployment(deployment)
            open_device(device, **options).check(found)
            return f"{found.path.name}: {found.manifest.target} {found.manifest.isa or found.manifest.platform}".strip()

        questions = {
            "reference": lambda: counted(len(self._reference(images).names), "image"),
            "device": lambda: device_state(open_device(device, **options)),
            "deployment": fits,
            "input": lambda: input_state(self._reference(images).inputs, self._deployment(deployment)),
        }
        step = self._step("preflight", device, deployment=deployment, images=images, **options)
        return self._keep(step, progress, lambda _: ask(device, questions))

    def benchmark(
        self,
        device: str = "cpu",
        *,
        runs: int = 100,
        warmup: int = 10,
        depths: Sequence[int] = (1,),
        deployment: Given | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Benchmark:
        """Time the deployment's own example, run by run, with what the device's sensors tell meanwhile.

        Args:
            device, deployment, options: as for `run`.
            runs: how many are timed.
            warmup: runs before, not timed.
            depths: requests in flight; one load for each.
            progress: as of `Device.benchmark`; may raise to cancel.

        Raises:
            StageError: a stage before this one has not run.
            DeviceError: the device cannot run it.
            Cancelled: `cancel` was called.
        """

        def answer(report: Progress) -> Benchmark:
            found = self._deployment(deployment)
            with open_device(device, **options) as opened:
                return opened.benchmark(found, runs=runs, warmup=warmup, depths=tuple(depths), progress=report)

        settings = {"runs": runs, "warmup": warmup, "depths": tuple(depths), "deployment": deployment}
        return self._keep(self._step("benchmark", device, **settings, **options), progress, answer)

    def judge(
        self,
        device: str | Sequence[str] = "cpu",
        *,
        deployment: Given | Mapping[str, Given] | None = None,
        images: int | None = None,
        localize: bool = True,
        progress: Progress | None = None,
        **options: Any,
    ) -> Verdict:
        """The whole chain for the reference's images, and where the first link breaks.

        float → torch's int8, where there is one → interpreter → each device in turn.

        Args:
            device: name, as for `run`, or names in the order of the chain; options are the last device's.
            deployment: by name of the device, the flow's own for those that are not named; or one for all that can
                run it, the flow's own for the others.
            images: the reference's first so many.
            localize: search the layer where a device parts from the one before.
            progress: called as the members run; may raise to cancel.

        Raises:
            StageError: a stage before this one has not run.
            Cancelled: `cancel` was called.
        """
        names = [device] if isinstance(device, str) else list(device)

        def of(opened: Device) -> Deployment:
            if isinstance(deployment, Mapping):
                return self._deployment(deployment.get(opened.name))
            found = self._deployment(deployment)
            return found if len(names) == 1 or _fits(opened, found) else self._deployment(None)

        def answer(report: Progress) -> Verdict:
            reference = self._reference(images)
            with ExitStack() as stack:
                opened = [
                    stack.enter_context(open_device(name, **(options if name == names[-1] else {}))) for name in names
                ]
                return judge_devices(
                    reference.trace.graph,
                    reference.inputs,
                    [(one, of(one)) for one in opened],
                    float_outputs=reference.float_outputs,
                    int8_outputs=self._int8_outputs(reference.inputs),
                    preprocess=getattr(self.flow.source, "preprocess", None),
                    localize=localize,
                    progress=report,
                )

        settings = {"deployment": deployment, "images": images, "localize": None if localize else False}
        step = self._step("judge", device if isinstance(device, str) else names, **settings, **options)
        return self._keep(step, progress, answer)

    def _int8_outputs(self, inputs: np.ndarray) -> list[np.ndarray] | None:
        """Of torch's own int8 model; None where the model did not go the U50 guide's way."""
        if isinstance(self.flow.source, Graph):
            return None
        int8: Callable[[np.ndarray], list[np.ndarray]] | None
        int8 = getattr(self.flow.quantize.result, "int8_outputs", None)
        return None if int8 is None else int8(inputs)

    def localize(
        self,
        device: str = "cpu",
        *,
        deployment: Given | None = None,
        images: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Location | None:
        """The first layer at which a device parts from the interpreter; None where it does not.

        Raises:
            StageError: a stage before this one has not run.
            Cancelled: `cancel` was called.
        """

        def answer(report: Progress) -> Localized:
            reference = self._reference(images)
            preprocess = getattr(self.flow.source, "preprocess", None)
            with open_device(device, **options) as opened:
                found = self._deployment(deployment)
                location = locate(reference.trace, reference.inputs, opened, found, preprocess, report)
            return Localized(device, location)

        step = self._step("localize", device, deployment=deployment, images=images, **options)
        return self._keep(step, progress, answer).location

    def error_map(
        self,
        layer: str,
        device: str | None = None,
        *,
        deployment: Given | None = None,
        images: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> ErrorMap:
        """Where one layer differs, over images, channels and positions.

        Args:
            layer: name in the graph.
            device: against the interpreter; None for the interpreter against the float model.
            deployment, images, options: as for `run`.
            progress: may raise to cancel.

        Raises:
            StageError: a stage before this one has not run, or the float model has no such layer.
            InputError: the device does not show this layer.
            Cancelled: `cancel` was called.
        """

        def answer(report: Progress) -> ErrorMap:
            reference = self._reference(images)
            if device is None:
                return map_of_float(reference.trace, layer, self._float_layer(reference, layer))
            with open_device(device, **options) as opened:
                found = self._deployment(deployment)
                codes = layer_of(reference.trace, reference.inputs, opened, found, layer, report)
            return map_of_codes(reference.trace, layer, codes, device)

        arguments = (layer,) if device is None else (layer, device)
        step = self._step("error_map", *arguments, deployment=deployment, images=images, **options)
        return self._keep(step, progress, answer)

    def _float_layer(self, reference: Reference, layer: str) -> np.ndarray:
        graph = reference.trace.graph
        node = graph.node(layer)  # raises with near names
        if node.op == "quantize" and node.inputs[0] in graph.inputs:
            return reference.inputs
        if layer in graph.outputs and reference.float_outputs is not None:
            return reference.float_outputs[graph.outputs.index(layer)]
        if layer not in reference.float_layers:
            known = ", ".join(reference.float_layers) or "none: the flow began with an integer graph"
            raise StageError(f"the float model has no value for {layer} to compare with; it has {known}")
        return reference.float_layers[layer]

    @property
    def mapped_layers(self) -> list[str]:
        """Layers that `error_map` takes: those that make codes, or leave the graph."""
        graph = self.flow.interpret.trace.graph
        return [node.name for node in graph.nodes if graph.values[node.name].spec.dtype != "int32"]
