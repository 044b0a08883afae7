"""Where graphs change between codes and real numbers, what keeps which name, and what a scheme may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import interpret, trace
from ectoolkit.core.metrics import sqnr_db
from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import FloatNetwork, capture
from ectoolkit.quantization.assembly import assemble
from ectoolkit.quantization.scheme import LayerScheme, Scheme
from ectoolkit.testing.captured import compiled, float_values, minmax_scheme, run_images

X = np.random.default_rng(0).standard_normal((3, 4, 8, 8)).astype(np.float32)


class Net(nn.Module):
    """A norm between two convolutions, used twice; a residual; a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU6())
        self.norm = nn.GroupNorm(2, 8)
        self.second, self.act = nn.Conv2d(8, 8, 3, padding=1), nn.Hardswish()
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        normed = self.norm(self.first(x))
        y = self.act(self.second(normed)) + normed
        return self.head(y.mean((2, 3))), torch.softmax(normed, 1)


NETWORK = capture(Net(), [(1, 4, 8, 8)])


def graph_of(network: FloatNetwork = NETWORK, inputs: Sequence[np.ndarray] = (X,), **settings: object) -> Graph:
    return assemble(network, minmax_scheme(network, list(inputs), **settings))  # type: ignore[arg-type]


def test_borders_stand_where_they_must_and_once() -> None:
    graph = graph_of()
    nodes = {node.name: (node.op, node.inputs) for node in graph}
    assert nodes["first.0:real"] == ("dequantize", ("first.0",))
    assert nodes["norm"][1][0] == "first.0:real"
    assert nodes["norm:codes"] == ("quantize", ("norm",))
    assert nodes["second"][1][0] == "norm:codes"
    assert "norm:codes" in nodes["add"][1]
    assert nodes["softmax"] == ("float_softmax", ("norm",))  # real numbers are passed on as they are
    assert graph.outputs == ("dequant", "softmax")
    assert [node.op for node in graph].count("quantize") == 2
    assert {node.name: graph.runs_in(node) for node in graph}["norm"] == "float"
    assert graph.runs_in(graph.node("second")) == "integer"
    assert graph.runs_in(graph.node("quant")) == ""


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_float_ends_in_both_layouts(layout: str) -> None:
    """The image goes straight into a float layer, and one comes straight out of one."""

    class Ends(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = torch.softmax(x, 1)
            return y.transpose(1, 2), y.amax(1)

    graph = graph_of(capture(Ends(), [(1, 4, 8, 8)]))
    assert {node.op for node in graph} == {"float_softmax", "transpose", "float_max"}
    for found, expected in zip(run_images(compiled(graph, layout), [X]), interpret(graph, X), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_output_that_is_read_on() -> None:
    class Both(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = torch.softmax(x, 1)
            return y, y * torch.softmax(y, 2)

    graph = graph_of(capture(Both(), [(1, 4, 8, 8)]))
    for layout in ("NHWC", "NCHW"):
        for found, expected in zip(run_images(compiled(graph, layout), [X]), interpret(graph, X), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_kept_in_float() -> None:
    every = ("first.0", "second", "act", "add", "mean", "head")
    plain, kept = graph_of(), graph_of(keep_float=every)
    assert {node.op for node in kept if kept.runs_in(node) == "integer"} == set()
    assert kept.node("first.0").op == "float_function"  # ReLU6, behind first.0:sum
    assert kept.node("first.0:sum").op == "float_conv2d"
    expected = float_values(NETWORK, [X])[0]
    for reference, found, worse in zip(expected, interpret(kept, X), interpret(plain, X), strict=True):
        np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-5)
        assert 25 < sqnr_db(reference, worse) < 60
    again = run_images(compiled(kept), [X])
    assert all(np.array_equal(a, b) for a, b in zip(again, interpret(kept, X), strict=True))


def test_one_layer_kept_in_float() -> None:
    graph = graph_of(keep_float=["second"])
    assert graph.node("second").op == "float_conv2d"
    assert graph.node("second").inputs[0] == "norm"  # no detour over codes
    assert graph.node("act").op == "lookup"
    assert graph.node("act").inputs[0] == "second:codes"
    assert graph.constants["second.weight"].dtype == np.float32


@pytest.mark.parametrize("bits", [4, 5, 6, 7, 8])
def test_bits(bits: int) -> None:
    graph = graph_of(bits=bits)
    run = trace(graph, X * 3)
    for node in graph:
        quant = graph.values[node.name].quant
        if quant is not None and run[node.name].dtype == np.uint8:
            assert run[node.name].max() <= quant.quant_max == 2**bits - 1
    found = run_images(compiled(graph), [X * 3])
    assert all(np.array_equal(a, b) for a, b in zip(found, run.outputs, strict=True))


def test_mean_by_hardware() -> None:
    net = nn.Sequential(nn.Conv2d(4, 6, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    network = capture(net, [(1, 4, 8, 8)])
    assert [node.op for node in graph_of(network)][2] == "mean"
    dna = graph_of(network, hardware="dna")
    assert dna.node("2").op == "global_avg_pool"
    assert dna.values["2"].quant == dna.values["0"].quant


def test_subtraction_loses_nothing_on_the_way() -> None:
    class Difference(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - torch.relu(x)

    graph = graph_of(capture(Difference(), [(1, 4, 8, 8)]))
    run = trace(graph, X)
    assert graph.node("sub").op == "precise_add"
    np.testing.assert_allclose(run.real("sub:negated"), -run.real("relu"), atol=1e-6)


def test_refused() -> None:
    scheme = minmax_scheme(NETWORK, [X])

    def changed(name: str, **changes: object) -> Scheme:
        layer = replace(scheme.layers[name], **changes)  # type: ignore[arg-type]
        return Scheme({**scheme.layers, name: layer}, scheme.hardware)

    with pytest.raises(QuantizationError) as caught:
        assemble(NETWORK, changed("norm", grid=None))
    assert str(caught.value) == (
        "layer norm runs in float and second needs its codes, but its scheme has no grid; give it one"
    )
    with pytest.raises(QuantizationError) as caught:
        assemble(NETWORK, changed("second", weight=None))
    assert str(caught.value) == ("layer second (conv2d) has no weights in its scheme; give it some, or keep_float=True")
    with pytest.raises(QuantizationError) as caught:
        assemble(NETWORK, changed("reshape" if "reshape" in scheme.layers else "mean_2", keep_float=True))
    assert str(caught.value).startswith(
        "layer mean_2 (reshape) cannot be kept in float: it only moves or selects codes"
    )


def test_a_function_without_a_value() -> None:
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sqrt(x + 10)

    network = capture(Root(), [(1, 4, 8, 8)])
    scheme = minmax_scheme(network, [X])
    wide = scheme.layers["input0"].grid
    bad = Scheme({**scheme.layers, "add": LayerScheme(wide)})
    with pytest.raises(
        QuantizationError, match=r"the function of sqrt has no value at -\d+\.?\d*, which its input can"
    ):
        assemble(network, bad)
