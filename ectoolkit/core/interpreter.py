"""Runs a graph exactly: the living definition of the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs, check_inputs, split_batch
from ectoolkit.core.verifier import op_of

#: called after each layer with (layers done, layers in all, name of the layer)
Progress = Callable[[int, int, str], None]
#: runs one batch: arrays by input, progress, whether to keep every layer's tensor and not the outputs alone; gives
#: tensors by value name, in execution order
Run = Callable[[Mapping[str, np.ndarray], Progress | None, bool], dict[str, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Trace(Mapping[str, np.ndarray]):
    """Every tensor of one run by value name: codes (uint8), accumulators (int32), float32 at the ends.

    Attributes:
        graph: what was run.
        arrays: the tensors, in execution order, in the graph's layout (NCHW where 4-D).
    """

    graph: Graph
    arrays: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self.arrays[name]
        except KeyError:
            self.graph.node(name)  # raises with near names
            raise

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        return f"Trace({self.graph.name!r}, {len(self.arrays)} tensors)"

    @property
    def outputs(self) -> list[np.ndarray]:
        """The graph's outputs, float32."""
        return [self.arrays[name] for name in self.graph.outputs]

    def real(self, name: str) -> np.ndarray:
        """A tensor in real units: ``scale * (codes - zero_point)``, float32."""
        quant = self.graph.values[name].quant
        array = self[name]
        if quant is None:
            return array
        scale = quant.scale
        if quant.axis is not None:  # accumulators: one scale a channel, along axis 1 of the activation
            scale = scale.reshape(-1, *[1] * (array.ndim - 2))
        return ((array.astype(np.float64) - quant.zero_point) * scale).astype(np.float32)


def interpret(graph: Graph, inputs: Inputs, *, progress: Progress | None = None) -> list[np.ndarray]:
    """Run a graph and return its outputs only; intermediate tensors are freed as soon as nobody needs them.

    Args:
        graph: what to run.
        inputs: float32 in the graph's layout (NCHW where 4-D); a batch larger than the graph's is run image by image.
        progress: called after each layer of each run.

    Returns:
        The outputs in graph order, float32, NCHW where 4-D.

    Raises:
        InputError: an input's number, shape or dtype does not fit, or it holds NaN.
    """
    return interpret_with(partial(_run, graph), graph, inputs, progress)


def trace(graph: Graph, inputs: Inputs, *, progress: Progress | None = None) -> Trace:
    """Run a graph and keep every layer's tensor; arguments and errors as for `interpret`."""
    return trace_with(partial(_run, graph), graph, inputs, progress)


def interpret_with(run: Run, graph: Graph, inputs: Inputs, progress: Progress | None) -> list[np.ndarray]:
    """`interpret`, by any way to run one batch."""
    runs = _runs(run, graph, inputs, progress, keep=False)
    return [_joined([part[name] for part in runs]) for name in graph.outputs]


def trace_with(run: Run, graph: Graph, inputs: Inputs, progress: Progress | None) -> Trace:
    """`trace`, by any way to run one batch."""
    runs = _runs(run, graph, inputs, progress, keep=True)
    return Trace(graph, {name: _joined([part[name] for part in runs]) for name in runs[0]})


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _runs(
    run: Run, graph: Graph, inputs: Inputs, progress: Progress | None, *, keep: bool
) -> list[dict[str, np.ndarray]]:
    """One run for each batch of the inputs; progress counts the layers of all of them."""
    parts, layers = list(_parts(graph, inputs)), len(graph.nodes)

    def reporter(before: int) -> Progress | None:
        if progress is None:
            return None
        return lambda done, _, label: progress(before + done, len(parts) * layers, label)

    return [run(part, reporter(index * layers), keep) for index, part in enumerate(parts)]


def _parts(graph: Graph, inputs: Inputs) -> Iterator[dict[str, np.ndarray]]:
    """The inputs of each run, copied: a trace must not change when the caller's arrays do."""
    specs = {name: graph.values[name].spec for name in graph.inputs}
    for part in split_batch(specs, check_inputs(graph.name, specs, inputs)):
        yield {name: np.array(array) for name, array in part.items()}


def _run(
    graph: Graph, inputs: Mapping[str, np.ndarray], progress: Progress | None, keep: bool
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = dict(inputs)
    left = {name: len(users) for name, users in graph.users.items()}
    for done, node in enumerate(graph.nodes, 1):
        values = [graph.values[name] for name in node.inputs]
        operands = [graph.constants[name] if name in graph.constants else arrays[name] for name in node.inputs]
        arrays[node.name] = op_of(node).evaluate(node, values, graph.values[node.name], operands)
        if not keep:
            for name in graph.activations(node):
                left[name] -= 1
                if left[name] == 0:
                    del arrays[name]
        if progress is not None:
            progress(done, len(graph.nodes), node.name)
    return arrays
