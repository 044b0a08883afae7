"""Ours against theirs: a graph on the interpreter and on a device, and where a difference begins."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ectoolkit.analysis.diffs import Diff, compare
from ectoolkit.builders import TARGETS, build
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs, check_inputs
from ectoolkit.core.interpreter import Progress, interpret, trace
from ectoolkit.devices import open_device
from ectoolkit.errors import InputError, PreconditionError
from ectoolkit.passes.taps import Tap, tappable

#: layers that one build looks at; more outputs make a build slower, fewer make more builds
PROBES = 8
#: runs a graph on the device under check: float32 outputs for float32 inputs
Run = Callable[[Graph, dict[str, np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True)
class CrossCheck:
    """Whether a device gives the interpreter's numbers; truthy where it does, in every element.

    Attributes:
        device: that was checked.
        images: how many.
        diff: of the outputs.
        layer: the first layer that differs though all that it is computed from is equal; None where the outputs are
            equal, or where no layer that can be looked at differs.
        layer_diff: of that layer, in real units.
        hidden: layers between it and what is equal that cannot be looked at, such as a convolution fused into an add.
        builds: how many graphs were built.
    """

    device: str
    images: int
    diff: Diff
    layer: str | None = None
    layer_diff: Diff | None = None
    hidden: tuple[str, ...] = ()
    builds: int = 1

    def __bool__(self) -> bool:
        return bool(self.diff)

    def __str__(self) -> str:
        if self.diff:
            return f"{self.device} equals the interpreter in every element of {self.images} images"
        lines = [f"{self.device} differs from the interpreter:", self.diff.summary()]
        if self.layer is None:
            lines.append("every layer that can be looked at is equal; the difference is made by what cannot be")
        else:
            assert self.layer_diff is not None
            lines.append(f"it begins at {self.layer}: {self.layer_diff.summary().splitlines()[-1]}")
        if self.hidden:
            lines.append(f"or in what it is computed from and cannot be looked at: {', '.join(self.hidden)}")
        return "\n".join(lines)

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

    Where they differ, inner layers are made outputs, a few at a time, and built again until the first differing layer
    is found.  A layer whose use by an output would change how an add is computed is never made one.

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
    report = progress or (lambda done, total, label: None)

    def run(tapped: Graph, x: dict[str, np.ndarray]) -> list[np.ndarray]:
        first = {name: array[: specs[name].shape[0]] for name, array in x.items()}
        with tempfile.TemporaryDirectory(prefix="ectoolkit-") as folder:
            deployment = build(tapped, Path(folder) / "deploy", target, reference_input=first, **options)
            with open_device(device, **(device_options or {})) as opened:
                return opened.run(deployment, x).outputs

    return locate(graph, device, given, run, report)


def locate(graph: Graph, device: str, inputs: dict[str, np.ndarray], run: Run, report: Progress) -> CrossCheck:
    """The check itself, on whatever `run` runs a graph on."""
    images = len(next(iter(inputs.values())))
    report(0, 2, f"{device} and the interpreter")
    diff = compare(run(graph, inputs), interpret(graph, inputs), graph.outputs)
    if diff:
        report(2, 2, "equal")
        return CrossCheck(device, images, diff)
    search = _Search(graph, inputs, run, report)
    layer = search.first()
    found = None if layer is None else search.diffs[layer]
    return CrossCheck(device, images, diff, layer, found, tuple(search.hidden(layer)), 1 + search.builds)


class _Search:
    """Looks for the first differing layer."""

    def __init__(self, graph: Graph, inputs: dict[str, np.ndarray], run: Run, report: Progress) -> None:
        self.graph, self.inputs, self.run, self.report = graph, inputs, run, report
        self.candidates = tappable(graph)
        self.expected = trace(graph, inputs)
        self.diffs: dict[str, Diff] = {}
        self.builds = 0

    def first(self) -> str | None:
        """A differing layer, everything nearest before it being equal; None where none differs."""
        low, high = 0, len(self.candidates)  # all before low is equal; what is at high differs, or is the end
        while low < high:
            places = sorted({low + (high - low) * i // PROBES for i in range(PROBES)})
            self._probe([self.candidates[place] for place in places])
            wrong = [place for place in places if not self.diffs[self.candidates[place]]]
            right = [place for place in places if not wrong or place < wrong[0]]
            low = right[-1] + 1 if right else low
            high = wrong[0] if wrong else high
        return self._earliest(self.candidates[high]) if high < len(self.candidates) else None

    def _earliest(self, layer: str) -> str:
        """Follow a differing layer back while something it is computed from differs: branches are not one line."""
        while True:
            before = self._sources(layer)[0]
            self._probe(before)
            wrong = [name for name in before if not self.diffs[name]]
            if not wrong:
                return layer
            layer = wrong[0]

    def hidden(self, layer: str | None) -> list[str]:
        """Layers between a layer and what was found equal that cannot be looked at."""
        return [] if layer is None else self._sources(layer)[1]

    def _sources(self, layer: str) -> tuple[list[str], list[str]]:
        """The nearest layers before one that can be looked at, and those in between that cannot."""
        seen: list[str] = []
        hidden: list[str] = []
        pending = list(self.graph.activations(self.graph.node(layer)))
        while pending:
            name = pending.pop()
            if name in seen or name in hidden or name in self.graph.inputs:
                continue
            if name in self.candidates:
                seen.append(name)
            else:
                hidden.append(name)
                pending += self.graph.activations(self.graph.node(name))
        order = {node.name: place for place, node in enumerate(self.graph.nodes)}
        return sorted(seen, key=order.__getitem__), sorted(hidden, key=order.__getitem__)

    def _probe(self, names: Sequence[str]) -> None:
        """Build with taps on these layers and compare; those that go together, the others in builds of their own."""
        todo = [name for name in names if name not in self.diffs]
        while todo:
            together = self._together(todo)
            todo = [name for name in todo if name not in together]
            self.builds += 1
            self.report(1, 2, f"build {self.builds}: looking at {', '.join(together)}")
            outputs = self.run(Tap(together)(self.graph), self.inputs)[len(self.graph.outputs) :]
            for name, found in zip(together, outputs, strict=True):
                self.diffs[name] = compare(found, self.expected.real(name), [name])

    def _together(self, names: Sequence[str]) -> list[str]:
        """As many of these, from the first on, as can be tapped at once."""
        chosen: list[str] = []
        for name in names:
            try:
                Tap([*chosen, name]).requires(self.graph)
            except PreconditionError:
                continue
            chosen.append(name)
        return chosen
