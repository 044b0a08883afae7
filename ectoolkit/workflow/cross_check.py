"""Ours against theirs: a graph on the interpreter and on a device, and where a difference begins."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ectoolkit.analysis.diffs import Diff, compare
from ectoolkit.analysis.verdict import Location, locate_by_cutting
from ectoolkit.builders import TARGETS, build
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs, check_inputs
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.words import counted
from ectoolkit.devices import open_device
from ectoolkit.errors import BuildError, InputError
from ectoolkit.interpreters import trace


@dataclass(frozen=True)
class CrossCheck:
    """Whether a device gives the interpreter's numbers; truthy where it does, in every element.

    Attributes:
        device: that was checked.
        images: how many.
        diff: of the outputs.
        location: where a difference begins; None where there is none, or where it could not be searched.
        note: why it could not.
    """

    device: str
    images: int
    diff: Diff
    location: Location | None = None
    note: str = ""

    def __bool__(self) -> bool:
        return bool(self.diff)

    def __str__(self) -> str:
        if self.diff:
            return f"{self.device} equals the interpreter in every element of {counted(self.images, 'image')}"
        where = str(self.location) if self.location is not None else self.note
        return "\n".join([f"{self.device} differs from the interpreter:", self.diff.summary(), where])

    __repr__ = __str__


def cross_check(
    graph: Graph,
    device: str,
    inputs: Inputs,
    *,
    device_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> CrossCheck:
    """Build a graph, run it on a device, and compare every output element with the interpreter's.

    Where they differ, graphs that end earlier are built until the first differing layer is found; a cut between a
    convolution and the add that takes its raw sums is the last resort, for it changes what a compiler fuses.

    Args:
        graph: to check.
        device: that runs it: ``"mera:InterpreterHw"``, ``"cpu"``...
        inputs: float32 in the graph's layout (NCHW where 4-D), any multiple of its batch.
        device_options: for `open_device`.
        progress: called after each build; it may raise to cancel.
        **options: for `ectoolkit.builders.build`: ``platform=...``.

    Raises:
        BuildError, DeviceError: it cannot be built or run.
        InputError: there is no target for this device, or the inputs do not fit.
    """
    target = device if device in TARGETS else device.partition(":")[0]
    if target not in TARGETS:
        raise InputError(f"nothing is built for device {device!r}; expected one of {', '.join(TARGETS)}")
    specs = {name: graph.values[name].spec for name in graph.inputs}
    given = check_inputs(graph.name, specs, inputs)
    first = {name: array[: specs[name].shape[0]] for name, array in given.items()}

    def run(part: Graph, x: Inputs) -> list[np.ndarray]:
        with tempfile.TemporaryDirectory(prefix="ectoolkit-") as folder:
            known = {name: first[name] for name in part.inputs}
            out = Path(folder) / "deploy"
            deployment = build(part, out, target, reference_input=known, remember=False, **options)
            with open_device(device, **(device_options or {})) as opened:
                return opened.run(deployment, x).outputs

    images = len(next(iter(given.values())))
    reference = trace(graph, given)
    diff = compare(run(graph, given), reference.outputs, graph.outputs)
    if diff:
        return CrossCheck(device, images, diff)
    options.pop("torchscript", None)  # of the whole network
    try:
        location = locate_by_cutting(reference, given, run, progress)
    except BuildError as error:  # a part may be refused although the whole is not
        return CrossCheck(device, images, diff, note=f"where it begins could not be searched: {error}")
    return CrossCheck(device, images, diff, location)
