"""Finds the first layer at which a device parts from the interpreter.

Two ways.  A device with taps shows every layer at once.  One that gives outputs only is asked again and again for a
graph that ends earlier (`ectoolkit.passes.cut`), halving the part that can hold the fault: where everything that
crosses one cut is equal and something that crosses the next is not, the layers between the two are at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ectoolkit.analysis.verdict.location import Location, steps_between
from ectoolkit.analysis.verdict.ties import ties_among
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress, Trace
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import InputError
from ectoolkit.interpreters import interpret
from ectoolkit.passes.cut import Cut, clean_positions, crossing

#: runs a graph on the device: inputs as for `interpret`, float32 outputs in the graph's layout
RunGraph = Callable[[Graph, Inputs], Sequence[np.ndarray]]
#: what the device has after each layer, by name: codes, or real numbers where the layer makes those
Taps = Mapping[str, np.ndarray]


def locate_by_taps(reference: Trace, taps: Taps) -> Location | None:
    """The first layer that differs although all that it reads is equal; None where no layer differs.

    Args:
        reference: of the interpreter.
        taps: of the device for the same inputs; layers may be missing, then a layer behind them is found.

    Raises:
        InputError: a tap has another shape or dtype than the layer.
    """
    for node in reference.graph.nodes:
        if node.name not in taps:
            continue
        candidate, expected = np.asarray(taps[node.name]), reference[node.name]
        if (candidate.shape, candidate.dtype) != (expected.shape, expected.dtype):
            raise InputError(
                f"the device's tap of {node.name} is {candidate.dtype} {candidate.shape}, expected {expected.dtype} "
                f"{expected.shape}, as the interpreter's trace has it"
            )
        if not np.array_equal(candidate, expected, equal_nan=expected.dtype.kind == "f"):
            return _location(reference, node, candidate, expected, "taps")
    return None


def locate_by_cutting(
    reference: Trace, inputs: Inputs, run: RunGraph, progress: Progress | None = None
) -> Location | None:
    """The same from outputs alone, by about ``log2(layers)`` truncated graphs.

    Args:
        reference: of the interpreter, for `inputs`.
        inputs: of one or more runs.
        run: runs a graph on the device.
        progress: called after each truncated graph; may raise to cancel.

    Returns:
        None where the whole graph gives the interpreter's outputs.
    """
    return _Search(reference, inputs, run, progress).location()


def layer_by_cutting(reference: Trace, inputs: Inputs, run: RunGraph, layer: str) -> np.ndarray:
    """One layer's codes, or real numbers, of a device that gives outputs only: from a graph that ends there.

    Args:
        reference, inputs, run: as for `locate_by_cutting`.
        layer: its name.

    Raises:
        InputError: the layer hands raw sums to an add, so no graph can end there.
    """
    graph = reference.graph
    positions = [position for position in clean_positions(graph) if layer in crossing(graph, position)]
    if not positions or graph.values[layer].spec.dtype == "int32":
        user = graph.users[layer][0] if graph.users[layer] else layer
        raise InputError(f"{layer} hands raw sums to {user}, so no graph can end there; look at {user}")
    cut = Cut(positions[0])(graph) if positions[0] < len(graph.nodes) else graph
    for name, array in zip(cut.outputs, run(cut, inputs), strict=True):
        node = cut.node(name)
        if name == layer:
            return np.asarray(array)
        if node.inputs[0] == layer and node.op == "dequantize":
            return as_codes(np.asarray(array), grid(cut.values[layer]))
    raise InputError(f"{layer} is no output of a graph cut behind it")  # pragma: no cover - the cut promises it


def as_codes(real: np.ndarray, quant: QuantParams) -> np.ndarray:
    """Codes of real numbers that lie on a grid, int64."""
    return np.rint(real / quant.scalar).astype(np.int64) + quant.zero_point


@dataclass(frozen=True, eq=False)
class _Probe:
    """What the device gave for a graph cut at a position."""

    position: int
    differing: tuple[tuple[str, np.ndarray, np.ndarray], ...]


class _Search:
    """Holds the cuts that were run; each equal one narrows from below, each differing one from above."""

    def __init__(self, reference: Trace, inputs: Inputs, run: RunGraph, progress: Progress | None) -> None:
        self.reference, self.graph, self.inputs, self.run = reference, reference.graph, inputs, run
        self.progress = progress
        self.runs = 0
        self.total = int(np.ceil(np.log2(len(self.graph.nodes) + 1))) + 1

    def location(self) -> Location | None:
        last = self._probe(len(self.graph.nodes), {})
        if not last.differing:
            return None
        equal, differs = self._halve(clean_positions(self.graph), 0, last, {})
        between = range(equal + 1, differs.position)
        grids = self._grids(between)
        note = ""
        if grids:
            equal, differs = self._halve(list(between), equal, differs, grids)
            tapped = [name for name in grids if name in crossing(self.graph, differs.position)]
            if tapped:
                note = (
                    f"to look between {', '.join(tapped)} and the add that takes its sums, its result was made codes "
                    "on a grid of its own, which changes what a compiler fuses"
                )
        name, candidate, expected = differs.differing[0]
        how = f"{self.runs} truncated graphs"
        return _location(self.reference, self.graph.node(name), candidate, expected, how, note)

    def _halve(
        self, positions: Sequence[int], equal: int, differs: _Probe, grids: Mapping[str, QuantParams]
    ) -> tuple[int, _Probe]:
        """Narrow down to neighbouring positions."""
        inside = [position for position in positions if equal < position < differs.position]
        while inside:
            probe = self._probe(inside[len(inside) // 2], grids)
            if probe.differing:
                differs = probe
            else:
                equal = probe.position
            inside = [position for position in inside if equal < position < differs.position]
        return equal, differs

    def _probe(self, position: int, grids: Mapping[str, QuantParams]) -> _Probe:
        cut = self.graph
        if position < len(self.graph.nodes):
            cut = Cut(position, {name: g for name, g in grids.items() if name in crossing(self.graph, position)})(cut)
        found = [np.asarray(array) for array in self.run(cut, self.inputs)]
        expected = self._expected(cut)
        self.runs += 1
        if self.progress is not None:
            self.progress(min(self.runs, self.total), self.total, self.graph.nodes[position - 1].name)
        differing = []
        for name, candidate, reference in zip(cut.outputs, found, expected, strict=True):
            if not np.array_equal(candidate, reference, equal_nan=True):
                differing.append(self._as_layer(cut, name, candidate, reference))
        return _Probe(position, tuple(differing))

    def _expected(self, cut: Graph) -> list[np.ndarray]:
        """What the interpreter gives for the cut graph: the trace has it, unless a layer left as codes of its own."""
        found = []
        for name in cut.outputs:
            node = cut.node(name)
            source = node.inputs[0]
            if name in self.reference.arrays:
                found.append(self.reference[name])
            elif cut.values[source] == self.graph.values[source]:
                quant = grid(cut.values[source])
                found.append(arithmetic.dequantize(self.reference[source], quant.scalar, quant.zero_point))
            else:
                return interpret(cut, self.inputs)
        return found

    def _as_layer(
        self, cut: Graph, name: str, candidate: np.ndarray, reference: np.ndarray
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """An output of a cut graph under its layer's name, as codes where the layer makes codes."""
        node = cut.node(name)
        if name in self.graph.values and node.op != "dequantize":
            return name, candidate, reference
        quant = grid(cut.values[node.inputs[0]])
        return node.inputs[0], as_codes(candidate, quant), as_codes(reference, quant)

    def _grids(self, positions: Sequence[int]) -> dict[str, QuantParams]:
        """For each raw accumulator that crosses one of these cuts, eight bits over the range it has here."""
        names = {name for position in positions for name in crossing(self.graph, position)}
        sums = [name for name in names if self.graph.values[name].spec.dtype == "int32"]
        return {name: _grid_over(self.reference.real(name)) for name in sums}


def _grid_over(values: np.ndarray) -> QuantParams:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scale = (high - low) / 255 or 1.0
    return QuantParams.uint8(scale, round(-low / scale))


def _location(
    reference: Trace, node: Node, candidate: np.ndarray, expected: np.ndarray, how: str, note: str = ""
) -> Location:
    different = candidate != expected
    if expected.dtype.kind == "f":
        different &= ~(np.isnan(candidate) & np.isnan(expected))
    index = tuple(int(i) for i in np.unravel_index(int(different.argmax()), expected.shape))
    own_grid = not note
    return Location(
        node.name,
        node.op,
        index,
        float(candidate[index]),
        float(expected[index]),
        int(different.sum()),
        expected.size,
        steps_between(candidate, expected) if expected.dtype.kind in "iu" else {},
        ties_among(reference, node, different) if own_grid else None,
        how,
        candidate,
        note,
        expected,
    )
