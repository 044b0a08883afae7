"""The verdict chain over real devices: runs them, and asks those that differ for the layer where they part."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit import __version__
from ectoolkit.analysis.verdict import (
    InputFacts,
    InputProof,
    Location,
    Member,
    Must,
    Verdict,
    explain_input,
    facts_of,
    judge,
    layer_by_cutting,
    locate_by_cutting,
    locate_by_taps,
)
from ectoolkit.builders import build
from ectoolkit.builders.mera.options import options_of
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs, check_inputs, split_batch
from ectoolkit.core.interpreter import Progress, Trace
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import TensorSpec
from ectoolkit.devices import Device
from ectoolkit.errors import InputError
from ectoolkit.interpreters import interpret, trace

if TYPE_CHECKING:
    from ectoolkit.data import Preprocess

#: images that a search runs on, at most: each of its truncated graphs runs on all of them
_SEARCHED = 8


def judge_devices(
    graph: Graph,
    images: Inputs,
    devices: Sequence[tuple[Device, Deployment]],
    *,
    float_outputs: Sequence[np.ndarray] | None = None,
    int8_outputs: Sequence[np.ndarray] | None = None,
    preprocess: Preprocess | None = None,
    localize: bool = True,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Judge float → int8 → interpreter → each device in turn, up to the first broken link.

    Args:
        graph: the reference.
        images: float32 in the graph's layout (NCHW where 4-D), any multiple of its batch.
        devices: open devices with what they run, in order.
        float_outputs: of the float model for `images`; the chain begins at the interpreter where None.
        int8_outputs: of torch's own int8 model, for graphs that come from one; close, for torch is not the reference
            of an accelerator.
        preprocess: the model's, so that a second normalization can be recognised.
        localize: find the layer where a device parts from the interpreter; takes some more builds and runs, on those
            images whose results differ, eight at most.
        facts: more of them for the certificate, such as where the images come from.
        progress: called as the members run; may raise to cancel.

    Raises:
        InputError: images do not fit, or there is nothing to compare with.
        DeviceError: a device cannot run its deployment.
    """
    specs = {name: graph.values[name].spec for name in graph.inputs}
    inputs = check_inputs(graph.name, specs, images)
    reference = interpret(graph, inputs, progress=progress)
    members = [
        *([Member("float", lambda: list(float_outputs))] if float_outputs is not None else []),
        *([Member("int8", lambda: list(int8_outputs), Must.CLOSE)] if int8_outputs is not None else []),
        Member("interpreter", lambda: reference, Must.CLOSE),
        *(_Judged(graph, inputs, reference, *pair, preprocess, progress).member(localize) for pair in devices),
    ]
    count = next(iter(inputs.values())).shape[0]
    facts = {
        "model": graph.name,
        "graph sha256": graph.sha256,
        "quantization sha256": graph.quantization_sha256,
        "judged": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by ectoolkit {__version__}",
        "host": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}",
        **(facts or {}),
    }
    for device, deployment in devices:
        facts |= _identity(device, deployment)
    proof = input_proof(inputs, list({deployment.path: deployment for _, deployment in devices}.values()))
    return judge(members, proof, count, names=graph.outputs, facts=facts, progress=progress)


def input_proof(inputs: dict[str, np.ndarray], deployments: Sequence[Deployment]) -> InputProof:
    """What the images are, and what each deployment makes of them before they reach its device."""
    facts = list(facts_of("images", list(inputs), list(inputs.values())))
    for deployment in deployments:
        runs = deployment.runs(inputs)
        for position, tensor in enumerate(deployment.manifest.inputs):
            array = np.concatenate([run[position] for run in runs])
            stage = f"{deployment.path.name} ({deployment.manifest.target})"
            facts.append(InputFacts.of(stage, tensor.name, array, tensor.layout))
    return InputProof(tuple(facts))


@dataclass
class _Judged:
    """A device in the chain: what it gave is kept, so that only images that differ are searched."""

    graph: Graph
    inputs: dict[str, np.ndarray]
    reference: list[np.ndarray]
    device: Device
    deployment: Deployment
    preprocess: Preprocess | None
    progress: Progress | None
    found: list[np.ndarray] = field(default_factory=list)

    def member(self, localize: bool) -> Member:
        """What the chain asks."""
        return Member(self.device.name, self.outputs, Must.EQUAL, self.locate if localize else None)

    def outputs(self) -> list[np.ndarray]:
        """What the device gives; between its runs progress is told and a cancel is heard."""
        self.found = self.device.run(self.deployment, self.inputs, progress=self.progress).outputs
        return self.found

    def locate(self) -> Location | None:
        """Search on the runs that differ: a trace of all of many images would fill the memory."""
        parts = list(split_batch(self._specs, self.inputs))
        batch = next(iter(self._specs.values())).shape[0]
        chosen = self._differing(len(parts))[: max(1, _SEARCHED // batch)]
        inputs = {name: np.concatenate([parts[run][name] for run in chosen]) for name in self._specs}
        reference = trace(self.graph, inputs, progress=self.progress)
        found = locate(reference, inputs, self.device, self.deployment, self.preprocess, self.progress)
        if found is None or len(chosen) == len(parts):
            return found
        return replace(found, images=tuple(run * batch + image for run in chosen for image in range(batch)))

    @property
    def _specs(self) -> dict[str, TensorSpec]:
        return {name: self.graph.values[name].spec for name in self.graph.inputs}

    def _differing(self, runs: int) -> list[int]:
        """Runs in which an element differs."""
        differs = np.zeros(runs, bool)
        for found, expected in zip(self.found, self.reference, strict=True):
            different = (found != expected) & ~(np.isnan(found) & np.isnan(expected))
            differs |= different.reshape(runs, -1).any(axis=1)
        return np.flatnonzero(differs).tolist()


def locate(
    reference: Trace,
    inputs: Inputs,
    device: Device,
    deployment: Deployment,
    preprocess: Preprocess | None = None,
    progress: Progress | None = None,
) -> Location | None:
    """The first layer at which a device parts from the interpreter.

    Args:
        reference: of the interpreter, for `inputs`.
        inputs: of one or more runs.
        device: open; asked for its taps where it has some, else for truncated graphs built like `deployment`.
        deployment: what it runs.
        preprocess: the model's, to explain a wrong input.
        progress: called after each truncated graph; may raise to cancel.

    Returns:
        None where it does not part at all.
    """
    taps = device.taps(deployment, inputs)
    if taps is not None:
        found = locate_by_taps(reference, taps)
    else:
        found = locate_by_cutting(reference, inputs, _Rebuilt(device, deployment).run, progress)
    return found and _explained(reference, found, preprocess)


def layer_of(
    reference: Trace,
    inputs: Inputs,
    device: Device,
    deployment: Deployment,
    layer: str,
    progress: Progress | None = None,
) -> np.ndarray:
    """What a device has after one layer: from its taps where it has some, else from a graph that ends there.

    Args:
        reference, inputs, device, deployment: as for `locate`.
        layer: its name.
        progress: called before the device runs; may raise to cancel.

    Raises:
        InputError: the device does not show this layer.
        GraphError: there is no such layer.
    """
    reference.graph.node(layer)
    if progress is not None:
        progress(0, 1, f"{layer} on {device.name}")
    taps = device.taps(deployment, inputs)
    if taps is None:
        return layer_by_cutting(reference, inputs, _Rebuilt(device, deployment).run, layer)
    if layer not in taps:
        raise InputError(f"{device.name} does not show {layer}; it shows {', '.join(taps)}")
    return np.asarray(taps[layer])


def _explained(reference: Trace, found: Location, preprocess: Preprocess | None) -> Location:
    """Where a graph's input is quantized, name what was done to the input."""
    node = reference.graph.node(found.layer)
    if node.op != "quantize" or node.inputs[0] not in reference.graph.inputs or found.found is None:
        return found
    images = reference[node.inputs[0]]
    note = explain_input(images, grid(reference.graph.values[node.name]), found.found, preprocess)
    return replace(found, note=f"What was found is exactly what comes out where {note}") if note else found


class _Rebuilt:
    """Builds other graphs the way a deployment was built, and runs them on its device."""

    def __init__(self, device: Device, deployment: Deployment) -> None:
        self.device, self.deployment = device, deployment

    def run(self, graph: Graph, inputs: Inputs) -> list[np.ndarray]:
        """Outputs of a graph on the device; what was loaded before is loaded again when it is next run."""
        manifest = self.deployment.manifest
        specs = {name: graph.values[name].spec for name in graph.inputs}
        first = {name: a[: specs[name].shape[0]] for name, a in check_inputs(graph.name, specs, inputs).items()}
        theirs = manifest.target.startswith("mera:")
        own = options_of(self.deployment) if theirs else {"isa": manifest.isa}
        with tempfile.TemporaryDirectory(prefix="ectoolkit-") as folder:
            built = build(
                graph,
                Path(folder) / "cut",
                target=manifest.target,
                reference_input=first,
                layout=str(manifest.inputs[0].layout),
                remember=False,
                **own,
                **self.device.build_options(),
            )
            return self.device.run(built, inputs).outputs


def _identity(device: Device, deployment: Deployment) -> dict[str, str]:
    manifest = deployment.manifest
    tools = ", ".join(f"{name} {version}" for name, version in sorted(manifest.tools.items()))
    return {
        **{f"{device.name}: {what}": value for what, value in device.identity().items()},
        f"{device.name}: deployment": f"{manifest.name} for {manifest.target} {manifest.isa or manifest.platform}",
        f"{device.name}: manifest sha256": manifest.manifest_sha256,
        f"{device.name}: tools": tools,
    }
