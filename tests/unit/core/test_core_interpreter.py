"""The interpreter: batches, named inputs, progress, traces."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ectoolkit.core import arithmetic
from ectoolkit.core.interpreter import interpret, trace
from ectoolkit.testing.networks import example_input, residual_graph, two_ended_graph

GRAPH = residual_graph()
X = example_input(GRAPH, batch=3)["input0"]


def test_outputs() -> None:
    outputs = interpret(GRAPH, X[:1])
    assert [(y.shape, y.dtype) for y in outputs] == [((1, 4), np.float32)]
    grid = GRAPH.values["fc"].quant
    assert grid is not None
    codes = trace(GRAPH, X[:1])["fc"]
    assert_array_equal(outputs[0], arithmetic.dequantize(codes, grid.scale[()], grid.zero_point))


@pytest.mark.parametrize("given", [X[:1], [X[:1]], (X[:1],), {"input0": X[:1]}], ids=["array", "list", "tuple", "name"])
def test_ways_to_give_an_input(given: object) -> None:
    assert_array_equal(interpret(GRAPH, given)[0], interpret(GRAPH, X[:1])[0])  # type: ignore[arg-type]


def test_a_torch_tensor_is_one_array() -> None:
    import torch

    assert_array_equal(interpret(GRAPH, torch.from_numpy(X))[0], interpret(GRAPH, X)[0])  # type: ignore[arg-type]


def test_inputs_by_order_and_by_name() -> None:
    graph = two_ended_graph()
    named = example_input(graph, batch=2)
    ordered = interpret(graph, [named["left"], named["right"]])
    for found, expected in zip(interpret(graph, dict(reversed(named.items()))), ordered, strict=True):
        assert_array_equal(found, expected)
    assert [y.shape for y in ordered] == [(2, 3, 4, 5), (2, 3)]


def test_a_batch_is_run_image_by_image() -> None:
    whole = interpret(GRAPH, X)[0]
    assert whole.shape == (3, 4)
    assert_array_equal(whole, np.concatenate([interpret(GRAPH, X[i : i + 1])[0] for i in range(3)]))


def test_a_graph_of_two_images_takes_four() -> None:
    four = np.concatenate([X, X[:1]])
    assert_array_equal(interpret(residual_graph(2), four)[0], interpret(GRAPH, four)[0])


def test_the_input_is_left_alone() -> None:
    before = X.copy()
    interpret(GRAPH, X)
    trace(GRAPH, X)
    assert_array_equal(X, before)


def test_infinities_saturate() -> None:
    codes = trace(GRAPH, np.where(X[:1] > 0, np.inf, -np.inf).astype(np.float32))["quant"]
    assert set(np.unique(codes)) == {0, 255}


def test_progress_names_each_layer() -> None:
    seen: list[tuple[int, int, str]] = []
    interpret(GRAPH, X[:1], progress=lambda *step: seen.append(step))
    assert seen == [(i, 8, node.name) for i, node in enumerate(GRAPH.nodes, 1)]


def test_progress_may_cancel() -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int, name: str) -> None:
        raise StopError(name)

    with pytest.raises(StopError, match="quant"):
        trace(GRAPH, X, progress=stop)


def test_trace_has_every_layer() -> None:
    found = trace(GRAPH, X)
    assert list(found) == ["input0", *(node.name for node in GRAPH.nodes)]
    assert len(found) == 9
    assert repr(found) == "Trace('residual', 9 tensors)"
    dtypes = {name: array.dtype.name for name, array in found.items()}
    assert dtypes == {name: GRAPH.values[name].spec.dtype for name in found}
    assert dtypes["block"] == "int32"
    assert_array_equal(found.outputs[0], interpret(GRAPH, X)[0])


def test_trace_in_real_units() -> None:
    found = trace(GRAPH, X)
    assert_array_equal(found.real("dequant"), found["dequant"])
    stem = GRAPH.values["stem"].quant
    block = GRAPH.values["block"].quant
    assert stem is not None
    assert block is not None
    expected = arithmetic.dequantize(found["stem"], stem.scale[()], stem.zero_point)
    assert_array_equal(found.real("stem"), expected)
    scales = block.scale.astype(np.float64)[:, None, None]
    assert_array_equal(found.real("block"), (found["block"] * scales).astype(np.float32))
