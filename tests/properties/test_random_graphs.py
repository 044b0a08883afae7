"""Random small graphs: compiled libraries, the interpreters and a saved copy agree in every element."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ectoolkit.builders.cpu.isa import ISAS
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.graph_file import load_graph, save_graph
from ectoolkit.core.host import missing_features
from ectoolkit.core.interpreter import interpret, trace
from ectoolkit.core.types import QuantParams
from ectoolkit.passes.precise_add import PreciseAdds
from ectoolkit.passes.residual_add import FuseResidualAdd
from ectoolkit.testing.captured import compiled
from ectoolkit.testing.strategies import graphs, inputs_of

# the pass warns of each ReLU that it drops; here any graph will do
pytestmark = pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")
SLOW = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


#: in all, shared out among the cores
COUNT = 200
RUNNABLE = [isa.name for isa in ISAS.values() if not missing_features(isa.cpu_features)]
SCRIPT = Path(__file__).parents[1] / "helpers" / "random_graphs.py"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_definition_fast_interpreter_and_library_agree() -> None:
    """In every element, for every instruction set that runs here; see ``tests/helpers/random_graphs.py``."""
    cores = len(os.sched_getaffinity(0))
    share = -(-COUNT // cores)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TVM_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(seed), str(share), *RUNNABLE],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for seed in range(cores)
    ]
    ops: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for process in running:
        said, _ = process.communicate()
        assert process.returncode == 0, said[-8000:]
        told = json.loads(said.splitlines()[-1])
        ops.update(told["ops"])
        seen.update(told["seen"])
    assert seen["graphs"] >= COUNT
    wanted = {"batch 1", "batch 2", "batch 3", "1 channels", "3 channels", "5 channels", "NHWC", "NCHW"}
    assert {name for name in wanted if seen[name] < 10} == set()
    frequent = {"conv2d", "linear", "add", "precise_add", "concat", "max_pool2d", "lookup", "mean", "multiply"}
    assert {name for name in frequent if ops[name] < 5} == set()


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(
    ("given_shape", "made"),
    [
        ((2, 3, 4, 5), (2, 3, 20)),
        ((2, 3, 20), (2, 3, 4, 5)),
        ((2, 60), (2, 3, 4, 5)),
        ((2, 3, 4, 5), (120,)),
        ((2, 3, 4, 5), (2, 3, 2, 2, 5)),
    ],
)
def test_ends_of_any_rank(given_shape: tuple[int, ...], made: tuple[int, ...], layout: str) -> None:
    builder = GraphBuilder("reshaped")
    grid = QuantParams.uint8(np.float32(0.1), 100)
    x = builder.node("quantize", "quant", [builder.input(given_shape)], grid)
    x = builder.node("reshape", "reshape", [x], grid, {"shape": made})
    graph = builder.finish([builder.node("dequantize", "dequant", [x], None, dtype="float32")])
    values = inputs_of(graph, 0)
    found, expected = compiled(graph, layout, "host")(values)[0], interpret(graph, values)[0]
    assert_array_equal(found, expected)


@settings(SLOW, max_examples=60)
@given(graph=graphs(max_layers=8, own=True), seed=st.integers(0, 1000), batch=st.integers(1, 3))
def test_interpreter_keeps_its_promises(graph: Graph, seed: int, batch: int) -> None:
    x = inputs_of(graph, seed, batch)
    whole = trace(graph, x)
    for name, array in whole.items():
        spec, quant = graph.values[name].spec, graph.values[name].quant
        assert array.dtype == spec.dtype
        assert array.shape == (batch * spec.shape[0], *spec.shape[1:])
        if quant is not None:
            assert quant.quant_min <= array.min() <= array.max() <= quant.quant_max
    for found, expected in zip(interpret(graph, x), whole.outputs, strict=True):
        assert_array_equal(found, expected)
    size = x.shape[0] // batch
    parts = [interpret(graph, x[i * size : (i + 1) * size]) for i in range(batch)]
    for found, expected in zip(zip(*parts, strict=True), whole.outputs, strict=True):
        assert_array_equal(np.concatenate(found), expected)


@settings(SLOW, max_examples=60)
@given(graph=graphs(max_layers=8, own=True), seed=st.integers(0, 1000))
def test_saved_graph_is_the_same(graph: Graph, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = save_graph(graph, Path(folder) / "a"), save_graph(graph, Path(folder) / "b")
        assert first.read_bytes() == second.read_bytes()
        loaded = load_graph(first)
    assert loaded.sha256 == graph.sha256
    assert loaded.quantization_sha256 == graph.quantization_sha256
    x = inputs_of(graph, seed)
    for found, expected in zip(interpret(loaded, x), interpret(graph, x), strict=True):
        assert_array_equal(found, expected)


@settings(SLOW, max_examples=60)
@given(graph=graphs(max_layers=8, own=True))
def test_precise_residual_add_twice_is_once(graph: Graph) -> None:
    once = PreciseAdds()(graph)
    assert PreciseAdds()(once).sha256 == once.sha256


@settings(SLOW, max_examples=60)
@given(graph=graphs(max_layers=8))
def test_fuse_residual_add_twice_is_once(graph: Graph) -> None:
    again = FuseResidualAdd()(graph)
    assert again.sha256 == graph.sha256
