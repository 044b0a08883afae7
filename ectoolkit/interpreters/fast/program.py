"""A graph made ready to run fast: every layer's form, kept for the graphs used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.verifier import op_of
from ectoolkit.interpreters.fast import elementwise, movement, spatial, weighted
from ectoolkit.interpreters.fast.layer import Layer, Prepare, Run
from ectoolkit.interpreters.fast.layouts import channels_last, to_numpy, to_torch

#: the fast form of an operation; real numbers and what is not here run by their definition
FORMS: Mapping[str, Prepare] = MappingProxyType(
    {
        "add": elementwise.add,
        "avg_pool2d": spatial.avg_pool2d,
        "concat": elementwise.concat,
        "conv2d": weighted.conv2d,
        "conv_transpose2d": weighted.conv_transpose2d,
        "dequantize": elementwise.dequantize,
        "gather": movement.gather,
        "global_avg_pool": spatial.global_avg_pool,
        "host_mean": spatial.host_mean,
        "linear": weighted.linear,
        "lookup": elementwise.lookup,
        "max_pool2d": spatial.max_pool2d,
        "mean": spatial.mean,
        "multiply": elementwise.multiply,
        "pad": spatial.pad,
        "precise_add": elementwise.precise_add,
        "quantize": elementwise.quantize,
        "relu": elementwise.relu,
        "reshape": movement.reshape,
        "slice": movement.slice_,
        "transpose": movement.transpose,
        "upsample_bilinear": spatial.upsample_bilinear,
        "upsample_nearest": spatial.upsample_nearest,
    }
)
#: graphs whose packed weights are kept
KEPT = 4


@dataclass(frozen=True, eq=False)
class Step:
    """One layer, ready to run.

    Attributes:
        node: the layer.
        form: how, for people; ``"definition"`` where it is the operation's own reference.
        reads: names of the activations and constants that `run` takes.
        run: tensors in, tensor out.
    """

    node: Node
    form: str
    reads: tuple[str, ...]
    run: Run


class Program:
    """A graph with every layer's form.

    Args:
        graph: verified.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.steps: Sequence[Step] = tuple(_step(graph, node) for node in graph.nodes)
        wanted = {name for step in self.steps for name in step.reads if name in graph.constants}
        self._constants = {name: to_torch(graph.constants[name]) for name in wanted}

    def run(self, inputs: Mapping[str, np.ndarray], progress: Progress | None, keep: bool) -> dict[str, np.ndarray]:
        """See `ectoolkit.core.interpreter.Run`."""
        graph = self._graph
        left = {name: len(users) for name, users in graph.users.items()}
        with torch.inference_mode():
            tensors = {name: _ordered(to_torch(array)) for name, array in inputs.items()}
            for done, step in enumerate(self.steps, 1):
                operands = [self._constants[n] if n in self._constants else tensors[n] for n in step.reads]
                tensors[step.node.name] = step.run(*operands)
                if not keep:
                    for name in graph.activations(step.node):
                        left[name] -= 1
                        if left[name] == 0:
                            del tensors[name]
                if progress is not None:
                    progress(done, len(self.steps), step.node.name)
            return {name: to_numpy(tensor) for name, tensor in tensors.items()}


def _ordered(tensor: torch.Tensor) -> torch.Tensor:
    return channels_last(tensor) if tensor.ndim == 4 else tensor


def _step(graph: Graph, node: Node) -> Step:
    inputs, output = [graph.values[name] for name in node.inputs], graph.values[node.name]
    layer = Layer(
        node,
        inputs,
        output,
        [graph.constants.get(name) for name in node.inputs],
        [_bound(graph, name) for name in node.inputs],
    )
    form = FORMS[node.op](layer) if node.op in FORMS else None
    if form is None:
        return Step(node, "definition", node.inputs, _defined(layer))
    return Step(node, form.name, tuple(node.inputs[position] for position in form.reads), form.run)


def _bound(graph: Graph, name: str) -> np.ndarray | int:
    """The largest magnitude of a value that a layer may read; real numbers have none, and nobody asks."""
    producer = graph.producer(name)
    if graph.values[name].spec.dtype == "int32" and producer is not None:
        return arithmetic.accumulator_bound(*(graph.constants[name] for name in producer.inputs[1:3]))
    return 255


def _defined(layer: Layer) -> Callable[..., torch.Tensor]:
    """The operation's own reference, on arrays that lie in memory as the definition's do: sums of real numbers depend
    on their order."""

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        arrays = [np.ascontiguousarray(to_numpy(tensor)) for tensor in tensors]
        return to_torch(op_of(layer.node).evaluate(layer.node, layer.inputs, layer.output, arrays))

    return run


_kept: OrderedDict[str, Program] = OrderedDict()
_lock = threading.Lock()


def program_of(graph: Graph) -> Program:
    """The program of a graph; made once for the `KEPT` graphs used last."""
    key = graph.sha256
    with _lock:
        if key not in _kept:
            _kept[key] = Program(graph)
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
        return _kept[key]
