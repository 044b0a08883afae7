"""Engines: choice, what each layer runs as, and that the fast one behaves as the definition does."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

import ectoolkit as ect
from ectoolkit import interpreters
from ectoolkit.core import interpreter
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.ops import OPS
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.errors import InputError, QuantizationError
from ectoolkit.interpreters import engines
from ectoolkit.interpreters.fast import program as program_module
from ectoolkit.interpreters.fast.program import FORMS, program_of
from ectoolkit.testing.networks import example_input, island_graph, residual_graph, two_ended_graph


def host_mean_graph() -> Graph:
    builder, grid = GraphBuilder("host_mean"), QuantParams.uint8(np.float32(0.02), 128)
    x = builder.node("quantize", "quantize", [builder.input((1, 5, 3, 2))], grid)
    mean = builder.node("host_mean", "mean", [x], grid)
    return builder.finish([builder.node("dequantize", "dequantize", [mean], None, dtype="float32")])


GRAPHS = {
    "residual": residual_graph(),
    "two of them": residual_graph(2),
    "ends": two_ended_graph(),
    "island": island_graph(),
    "mean": host_mean_graph(),
}
GRID = QuantParams.uint8(np.float32(0.02), 128)


def assert_equal(graph: Graph, inputs: Any) -> None:
    expected, found = interpreter.trace(graph, inputs), interpreters.trace(graph, inputs, engine="fast")
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert_array_equal(found[name], array, err_msg=name)
    for output, wanted in zip(interpreters.interpret(graph, inputs, engine="fast"), expected.outputs, strict=True):
        assert_array_equal(output, wanted)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=list(GRAPHS))
def test_equal_to_the_definition(graph: Graph) -> None:
    assert_equal(graph, example_input(graph, batch=3))


def test_equal_on_two_threads() -> None:
    """Where tests share the cores, all others run on one."""
    builder, numbers = GraphBuilder("wide"), np.random.default_rng(0)
    x = builder.node("quantize", "quantize", [builder.input((1, 32, 24, 24))], GRID)
    weight = numbers.integers(-128, 128, (64, 32, 3, 3)).astype(np.int8)
    scale = numbers.uniform(0.001, 0.002, 64).astype(np.float32)
    attributes = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "relu": True}
    x = builder.weighted(
        "conv2d", "conv", x, weight, scale, scale * 100, QuantParams.uint8(np.float32(1), 0), attributes
    )
    graph = builder.finish([builder.node("dequantize", "dequantize", [x], None, dtype="float32")])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert_equal(graph, example_input(graph, batch=3))
    finally:
        torch.set_num_threads(before)


def test_every_operation_has_a_fast_form_or_computes_on_real_numbers() -> None:
    assert {name for name, op in OPS.items() if not op.real} == set(FORMS)


def test_moves_of_real_numbers() -> None:
    builder = GraphBuilder("moves")
    x = builder.input((2, 4, 5, 3))
    steps: list[tuple[str, dict[str, object]]] = [
        ("pad", {"amounts": (0, 1, 2, 3)}),
        ("upsample_nearest", {}),
        ("max_pool2d", {"kernel": (2, 3), "stride": (1, 2), "padding": (1, 0), "dilation": (1, 1), "ceil_mode": True}),
        ("transpose", {"order": (0, 3, 1, 2)}),
        ("slice", {"axis": 2, "begin": 1, "end": 4}),
        ("gather", {"axes": (1, 3), "sizes": (2, 3), "indices": (3, 0, 1, 1, 5)}),
    ]
    for op, attributes in steps:
        x = builder.node(op, op, [x], None, attributes, dtype="float32")
    x = builder.node("concat", "concat", [x, x], None, {"axis": 0}, dtype="float32")
    shape = builder.values[x].spec.shape
    x = builder.node("reshape", "reshape", [x], None, {"shape": (int(np.prod(shape)),)}, dtype="float32")
    graph = builder.finish([x])
    given = example_input(graph)["input0"]
    given[0, 0, 0] = [np.inf, -np.inf, -0.0]
    assert_equal(graph, given)


def test_layers_of_other_ranks() -> None:
    """Tokens of features, and vectors, where images are usual."""
    builder, numbers = GraphBuilder("tokens"), np.random.default_rng(0)
    x = builder.node("quantize", "quantize", [builder.input((2, 7, 12))], GRID)
    weight = numbers.integers(-128, 128, (12, 12)).astype(np.int8)
    scale = numbers.uniform(0.001, 0.002, 12).astype(np.float32)
    y = builder.weighted("linear", "linear", x, weight, scale, scale * 100, GRID, {"relu": True})
    for op, attributes in (("add", {"relu": True}), ("add", {"relu": False}), ("precise_add", {"relu": False})):
        y = builder.node(op, op, [y, x], QuantParams.uint8(np.float32(0.03), 90), attributes)
    row = builder.node("slice", "row", [x], GRID, {"axis": 1, "begin": 3, "end": 4})
    y = builder.node("multiply", "multiply", [y, row], QuantParams.uint8(np.float32(0.05), 60), {})
    y = builder.node("concat", "concat", [y, x], QuantParams(np.float32(0.04), 20, 0, 63), {"axis": 2})
    y = builder.node(
        "lookup",
        "lookup",
        [y, builder.constant("table", np.arange(256)[::-1].astype(np.uint8), Layout.C, GRID)],
        GRID,
        {"function": "mirrored", "parameters": ()},
    )
    y = builder.node("relu", "relu", [y], GRID)
    graph = builder.finish([builder.node("dequantize", "out", [y], None, dtype="float32")])
    assert_equal(graph, example_input(graph, batch=2))


def test_explain() -> None:
    method = next(form.form for form in interpreters.explain(GRAPHS["residual"]) if form.layer == "block").split()[0]
    assert method in ("int8", "float32")
    assert [(row.layer, row.op, row.form) for row in interpreters.explain(GRAPHS["residual"])] == [
        ("quant", "quantize", "float64"),
        ("stem", "conv2d", f"{method} sums, float64 requantize"),
        ("block", "conv2d", f"{method} sums"),
        ("add", "add", "float64"),
        ("pool", "global_avg_pool", "int64"),
        ("flatten", "reshape", "moves"),
        ("fc", "linear", f"{method} sums, float32 requantize"),
        ("dequant", "dequantize", "float32"),
    ]
    forms = {row.layer: row.form for row in interpreters.explain(GRAPHS["island"])}
    assert forms["norm"] == forms["scores"] == "definition"


def test_engines() -> None:
    graph = GRAPHS["residual"]
    x = example_input(graph)["input0"]
    for engine in interpreters.ENGINES:
        for found in (
            ect.interpret(graph, x, engine=engine)[0],
            ect.interpret(graph, x, trace=True, engine=engine).outputs[0],
        ):
            assert_array_equal(found, interpreter.interpret(graph, x)[0])
    with pytest.raises(InputError) as caught:
        ect.interpret(graph, x, engine="quick")
    assert str(caught.value) == "engine is 'quick', expected 'auto', 'fast' or 'definition'"


def test_auto_is_the_definition_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(graph: Graph) -> None:
        raise AssertionError("the fast engine was asked")

    graph = GRAPHS["residual"]
    monkeypatch.setattr(engines, "_program", refuse)
    with pytest.raises(AssertionError, match="the fast engine was asked"):
        interpreters.interpret(graph, example_input(graph))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = interpreters.interpret(graph, example_input(graph))
    assert_array_equal(found[0], interpreter.interpret(graph, example_input(graph))[0])


def test_progress_and_cancel() -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int, name: str) -> None:
        raise StopError(name)

    graph, seen, wanted = GRAPHS["residual"], [], []
    x = example_input(graph, batch=2)
    interpreters.interpret(graph, x, engine="fast", progress=lambda *step: seen.append(step))
    interpreter.interpret(graph, x, progress=lambda *step: wanted.append(step))
    assert seen == wanted
    assert len(seen) == 16
    with pytest.raises(StopError, match="quant"):
        interpreters.trace(graph, x, engine="fast", progress=stop)


def test_nan_inside_is_refused_as_the_definition_does() -> None:
    builder = GraphBuilder("logarithm")
    x = builder.input((1, 3))
    x = builder.node("float_function", "log", [x], None, {"function": "log", "parameters": ()}, dtype="float32")
    x = builder.node("quantize", "codes", [x], GRID)
    graph = builder.finish([builder.node("dequantize", "out", [x], None, dtype="float32")])
    x = np.array([[1, 2, -1]], np.float32)
    with pytest.raises(QuantizationError) as expected:
        interpreter.interpret(graph, x)
    with pytest.raises(QuantizationError) as found:
        interpreters.interpret(graph, x, engine="fast")
    assert str(found.value) == str(expected.value)
    with pytest.raises(InputError, match="holds NaN"):
        interpreters.interpret(graph, x * np.float32(np.nan), engine="fast")


def test_the_caller_s_arrays_are_left_alone_and_let_go() -> None:
    graph = GRAPHS["residual"]
    x = example_input(graph)["input0"]
    before = x.copy()
    x.setflags(write=False)
    for engine in ("fast", "definition"):
        found = interpreters.trace(graph, x, engine=engine)
        assert_array_equal(x, before)
        x.setflags(write=True)
        x += 1
        assert_array_equal(found["input0"], before)
        x -= 1
        x[:] = before


def test_few_programs_are_kept() -> None:
    for channels in range(1, 8):
        builder = GraphBuilder("small")
        x = builder.node("quantize", "codes", [builder.input((1, channels))], GRID)
        graph = builder.finish([builder.node("dequantize", "out", [x], None, dtype="float32")])
        assert program_of(graph) is program_of(graph)
        assert len(program_module._kept) <= program_module.KEPT
    assert graph.sha256 in program_module._kept


def test_threads_may_run_one_graph_together() -> None:
    graph = GRAPHS["residual"]
    inputs = [example_input(graph, seed) for seed in range(4)]
    found: dict[int, np.ndarray] = {}

    def run(index: int) -> None:
        for _ in range(5):
            found[index] = interpreters.interpret(graph, inputs[index], engine="fast")[0]

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, x in enumerate(inputs):
        assert_array_equal(found[index], interpreter.interpret(graph, x)[0])


@pytest.fixture
def odd_torch() -> Iterator[None]:
    """torch as a user may have set it."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


@pytest.mark.usefixtures("odd_torch")
def test_torch_s_defaults_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_module, "_kept", type(program_module._kept)())
    monkeypatch.setattr("ectoolkit.interpreters.fast.layouts.BLOCK", 8)
    for graph in GRAPHS.values():
        assert_equal(graph, example_input(graph))


SATURATING = """
import numpy as np
from ectoolkit import interpreters
from ectoolkit.core import interpreter
from ectoolkit.interpreters.fast import self_test
from ectoolkit.testing.networks import example_input, island_graph, residual_graph, two_ended_graph

assert not self_test.is_exact("int8"), "oneDNN did not saturate"
assert self_test.exact_method() == "float32", self_test.exact_method()
for graph in (residual_graph(), two_ended_graph(), island_graph()):
    forms = [row.form for row in interpreters.explain(graph) if row.op in ("conv2d", "linear")]
    assert all(form.startswith("float32 sums") for form in forms), forms
    x = example_input(graph, batch=2)
    expected, found = interpreter.trace(graph, x), interpreters.trace(graph, x, engine="fast")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN's names of x86 instruction sets")
@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_saturating_convolutions_are_noticed(isa: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SATURATING],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
