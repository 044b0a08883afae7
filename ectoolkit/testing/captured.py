"""A float module through every stage with the plainest grids: capture, assemble, interpret, compile, compare.

Needs torch and tvm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import interpret
from ectoolkit.core.metrics import sqnr_db
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import QuantParams
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork, capture
from ectoolkit.quantization.assembly import assemble
from ectoolkit.quantization.calibrated import calibrate
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.scheme import LayerScheme, Scheme, WeightScheme

Ends = Mapping[str, tuple[float, float]]


def float_values(network: FloatNetwork, inputs: Sequence[np.ndarray]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """The captured network's outputs, and the value of each layer that has one, for all images.

    Args:
        network: captured.
        inputs: float32, one array an input, all with the same number of images.
    """
    torch = require("torch", feature="Running the float model")
    ends: dict[str, list[str]] = {}
    for layer in network.layers:
        ends.setdefault(layer.node, []).append(layer.name)
    runs: list[tuple[list[np.ndarray], dict[str, np.ndarray]]] = []
    for index in range(len(inputs[0])):
        values: dict[str, np.ndarray] = {}

        class Visitor(torch.fx.Interpreter):  # type: ignore[name-defined]
            def run_node(self, node: Any, values: dict[str, np.ndarray] = values) -> Any:
                value = super().run_node(node)
                for name in ends.get(node.name, ()):
                    values[name] = value.detach().numpy().copy()
                return value

        with torch.no_grad():
            result = Visitor(network.module).run(*(torch.from_numpy(x[index : index + 1]) for x in inputs))
        runs.append(([tensor.numpy() for tensor in _tensors(result)], values))
    outputs = [np.concatenate(parts) for parts in zip(*(run[0] for run in runs), strict=True)]
    return outputs, {name: np.concatenate([run[1][name] for run in runs]) for name in runs[0][1]}


def _tensors(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, tuple | list) else [value]


def minmax_scheme(
    network: FloatNetwork,
    inputs: Sequence[np.ndarray],
    *,
    bits: int = 8,
    hardware: str = "",
    keep_float: Sequence[str] = (),
) -> Scheme:
    """Grids from the smallest and largest value seen, weights with a scale a channel.

    Args:
        network: captured.
        inputs: as for `float_values`.
        bits: of activations, 4 to 8.
        hardware: of the scheme.
        keep_float: names of layers.
    """
    _, values = float_values(network, inputs)
    chosen = {name: LayerScheme(_grid(x, bits)) for name, x in zip(network.inputs, inputs, strict=True)}
    for layer in network.layers:
        chosen[layer.name] = _layer_scheme(layer, chosen, values, bits, layer.name in keep_float, hardware)
    return Scheme(chosen, hardware)


def _layer_scheme(
    layer: FloatLayer,
    chosen: Mapping[str, LayerScheme],
    values: Mapping[str, np.ndarray],
    bits: int,
    keep_float: bool,
    hardware: str,
) -> LayerScheme:
    source = chosen[layer.inputs[0]].grid
    if layer.keeps_grid or (layer.op == "mean" and hardware == "dna"):
        return LayerScheme(source, keep_float=keep_float)
    quant = _grid(values[layer.name], bits)
    if layer.weight is None or keep_float:
        return LayerScheme(quant, bias=layer.bias, keep_float=keep_float)
    assert source is not None
    largest = np.abs(layer.weight).reshape(len(layer.weight), -1).max(axis=1)
    floor = np.zeros_like(largest) if layer.bias is None else np.abs(layer.bias) / (float(source.scalar) * 2**28)
    scales = np.maximum(np.maximum(largest / 127, floor), 1e-12).astype(np.float32)
    spread = scales.reshape(-1, *[1] * (layer.weight.ndim - 1))
    codes = np.clip(np.rint(layer.weight / spread), -127, 127).astype(np.int8)
    return LayerScheme(quant, WeightScheme(codes, scales), layer.bias)


def _grid(x: np.ndarray, bits: int) -> QuantParams:
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    levels = 2**bits - 1
    scale = np.float32(max((high - low) / levels, 1e-8))
    return QuantParams(np.asarray(scale), int(np.clip(np.rint(-low / float(scale)), 0, levels)), 0, levels)


def compiled(graph: Graph, layout: str = "NHWC", isa: str = "host") -> Callable[..., list[np.ndarray]]:
    """Compile a graph in memory; the function takes one run's inputs and gives its outputs, NCHW where 4-D."""
    from ectoolkit.builders.cpu.compiler import compile_module
    from ectoolkit.builders.cpu.importer import import_graph
    from ectoolkit.core.deployment import from_layout, to_layout
    from ectoolkit.core.types import Layout

    tvm = require("tvm", feature="Compiling a graph")
    imported = import_graph(graph, layout=layout, isa=isa)
    machine = tvm.relax.VirtualMachine(compile_module(imported), tvm.cpu())
    prepared = machine["prepare"]([tvm.runtime.tensor(array) for array in imported.parameters.values()])
    outside = Layout(layout)

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        given = [tvm.runtime.tensor(to_layout(x, outside) if x.ndim == 4 else x) for x in inputs]
        arrays = [output.numpy() for output in machine["main"](*given, prepared)]
        return [from_layout(array, outside) if array.ndim == 4 else array for array in arrays]

    return run


def run_images(run: Callable[..., list[np.ndarray]], inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A compiled graph of one image, on each image of a batch."""
    parts = [run(*(np.ascontiguousarray(x[i : i + 1]) for x in inputs)) for i in range(len(inputs[0]))]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Verdict:
    """What became of one model.

    Attributes:
        model: its name.
        integer_layers: layers that run on codes, those between two steps included.
        float_layers: names of those that run in float.
        sqnr_db: of each output against the float network's.
        equal: share of output elements in which the compiled graph and the interpreter agree.
        apart: the most codes that any output element differs by; of outputs that are float, in millionths of its
            largest value.
        seconds: of processor time, every step.
    """

    model: str
    integer_layers: int
    float_layers: tuple[str, ...]
    sqnr_db: tuple[float, ...]
    equal: float
    apart: float
    seconds: float

    def __str__(self) -> str:
        sqnr = " ".join(f"{value:5.1f}" for value in self.sqnr_db)
        return (
            f"{self.model:22} {self.integer_layers:7} {len(self.float_layers):6} {sqnr:>12} {self.equal:9.5%} "
            f"{self.apart:6g} {self.seconds:6.1f}"
        )


HEADER = f"{'model':22} {'integer':>7} {'float':>6} {'SQNR dB':>12} {'equal':>9} {'apart':>6} {'cpu s':>6}"


def judge(name: str, module: Any, inputs: Sequence[np.ndarray], config: QuantConfig | None = None) -> Verdict:
    """Take a model through every stage, as a user would, and say how it went.

    Args:
        name: of the model.
        module: ``nn.Module``.
        inputs: float32, one array an input, all with the same number of images; calibrated and judged with them.
        config: settings, `QuantConfig()` by default.
    """
    begin = time.process_time()
    runs = [tuple(x[index : index + 1] for x in inputs) for index in range(len(inputs[0]))]
    model = calibrate(module, runs, name=name).quantize(config)
    graph, expected = model.graph, model.float_outputs(list(inputs))
    found = interpret(graph, list(inputs))
    again = run_images(compiled(graph), inputs)
    pairs = list(zip(found, again, strict=True))
    return Verdict(
        name,
        sum(graph.runs_in(node) == "integer" for node in graph),
        tuple(node.name for node in graph if graph.runs_in(node) == "float"),
        tuple(sqnr_db(reference, output) for reference, output in zip(expected, found, strict=True)),
        sum(int((a == b).sum()) for a, b in pairs) / sum(a.size for a, _ in pairs),
        max(_apart(graph, output, a, b) for output, (a, b) in zip(graph.outputs, pairs, strict=True)),
        time.process_time() - begin,
    )


def _apart(graph: Graph, output: str, found: np.ndarray, again: np.ndarray) -> float:
    producer = graph.producer(output)
    largest = float(np.abs(found.astype(np.float64) - again).max())
    if producer is None or producer.op != "dequantize":
        return 1e6 * largest / max(float(np.abs(found).max()), 1e-30)
    return round(largest / float(grid(graph.values[producer.inputs[0]]).scalar), 6)


def close_and_equal(
    module: Any, inputs: Sequence[np.ndarray], *, layout: str = "NHWC", **settings: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Take a module through every stage; the compiled graph must give the interpreter's result.

    Args:
        module: ``nn.Module``.
        inputs: float32, one array an input.
        layout: of the compiled graph.
        **settings: of `minmax_scheme`.

    Returns:
        The float network's outputs and the graph's.

    Raises:
        AssertionError: the compiled graph differs.
    """
    network = capture(module, [(1, *x.shape[1:]) for x in inputs])
    graph = assemble(network, minmax_scheme(network, inputs, **settings))
    expected = float_values(network, inputs)[0]
    found = interpret(graph, list(inputs))
    for name, output, again in zip(graph.outputs, found, run_images(compiled(graph, layout), inputs), strict=True):
        np.testing.assert_array_equal(again, output, err_msg=f"{graph.name}: {name}")
    return expected, found
