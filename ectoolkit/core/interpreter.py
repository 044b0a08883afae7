"""Runs a graph exactly: the living definition of the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.core.verifier import op_of
from ectoolkit.errors import InputError

#: called after each layer with (layers done, layers in all, name of the layer)
Progress = Callable[[int, int, str], None]
#: what a caller may give for the inputs: one array, or one a graph input, by order or by name
Inputs = np.ndarray | list | tuple | Mapping[str, np.ndarray]


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
        progress: called after each layer.

    Returns:
        The outputs in graph order, float32, NCHW where 4-D.

    Raises:
        InputError: an input's number, shape or dtype does not fit.
        QuantizationError: an input holds NaN.
    """
    prepared = check_inputs(graph, inputs)
    runs = [_run(graph, part, progress, keep=False) for part in _split_batch(graph, prepared)]
    return [np.concatenate([run[name] for run in runs]) for name in graph.outputs]


def trace(graph: Graph, inputs: Inputs, *, progress: Progress | None = None) -> Trace:
    """Run a graph and keep every layer's tensor; arguments and errors as for `interpret`."""
    prepared = check_inputs(graph, inputs)
    runs = [_run(graph, part, progress, keep=True) for part in _split_batch(graph, prepared)]
    return Trace(graph, {name: np.concatenate([run[name] for run in runs]) for name in runs[0]})


def check_inputs(graph: Graph, inputs: Inputs) -> dict[str, np.ndarray]:
    """The inputs by name, checked against the graph.

    Raises:
        InputError: number, names, shape, dtype or layout do not fit; says what was found and expected.
    """
    if isinstance(inputs, Mapping):
        named = dict(inputs)
    else:
        arrays = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(arrays) != len(graph.inputs):
            raise InputError(f"{graph.name} takes {len(graph.inputs)} input(s), got {len(arrays)}")
        named = dict(zip(graph.inputs, arrays, strict=True))
    if set(named) != set(graph.inputs):
        raise InputError(f"{graph.name} takes the inputs {list(graph.inputs)}, got {sorted(named)}")
    checked = {name: _check_input(graph, name, np.asarray(named[name])) for name in graph.inputs}
    multiples = {array.shape[0] // graph.values[name].spec.shape[0] for name, array in checked.items()}
    if len(multiples) > 1:
        raise InputError(f"the inputs hold different numbers of images: { {n: a.shape for n, a in checked.items()} }")
    return checked


def _check_input(graph: Graph, name: str, array: np.ndarray) -> np.ndarray:
    spec = graph.values[name].spec
    if array.dtype != np.float32:
        raise InputError(
            f"{name} of {graph.name} is float32, got {array.dtype}; preprocess the image "
            "(scale, subtract the mean) and convert with .astype(numpy.float32)"
        )
    fits = array.ndim == len(spec.shape) and array.shape[1:] == spec.shape[1:]
    if fits and array.shape[0] and array.shape[0] % spec.shape[0] == 0:
        return array
    n, *rest = spec.shape
    hint = ""
    if len(rest) == 3 and array.ndim == 4 and array.shape[1:] == (rest[1], rest[2], rest[0]):
        hint = "; this looks like NHWC: use array.transpose(0, 3, 1, 2)"
    elif array.shape == tuple(rest):
        hint = "; the batch axis is missing: use array[None]"
    raise InputError(
        f"{name} of {graph.name} has shape {array.shape}, expected {spec.shape} ({spec.layout}), "
        f"or a batch that is a multiple of {n}{hint}"
    )


def _split_batch(graph: Graph, inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    sizes = {name: graph.values[name].spec.shape[0] for name in inputs}
    first = graph.inputs[0]
    for part in range(inputs[first].shape[0] // sizes[first]):
        yield {name: array[part * sizes[name] : (part + 1) * sizes[name]] for name, array in inputs.items()}


def _run(
    graph: Graph, inputs: Mapping[str, np.ndarray], progress: Progress | None, *, keep: bool
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
