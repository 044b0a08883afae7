"""The interpreter equals EdgeCortix's InterpreterHw in every element of every golden case."""

from __future__ import annotations

from typing import Any

from numpy.testing import assert_array_equal

from ectoolkit import interpreters
from ectoolkit.core.graph_file import load_graph, save_graph
from ectoolkit.core.interpreter import interpret, trace


def test_interpreter_equals_interpreter_hw(golden: Any) -> None:
    outputs = interpret(golden.graph, golden.x)
    assert len(outputs) == len(golden.expected)
    for found, expected in zip(outputs, golden.expected, strict=True):
        assert found.dtype == expected.dtype
        assert_array_equal(found, expected)


def test_fast_interpreter_equals_the_definition_in_every_layer(golden: Any) -> None:
    expected, found = trace(golden.graph, golden.x), interpreters.trace(golden.graph, golden.x, engine="fast")
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert_array_equal(found[name], array, err_msg=name)
    for output, hardware in zip(
        interpreters.interpret(golden.graph, golden.x, engine="fast"), golden.expected, strict=True
    ):
        assert_array_equal(output, hardware)


def test_saved_graph_gives_the_same(golden: Any, tmp_path: Any) -> None:
    loaded = load_graph(save_graph(golden.graph, tmp_path / "net.ectgraph"))
    assert loaded.sha256 == golden.graph.sha256
    for found, expected in zip(trace(loaded, golden.x).outputs, golden.expected, strict=True):
        assert_array_equal(found, expected)
