"""Which layers can be made outputs without changing how an add is computed."""

from __future__ import annotations

import pytest
from numpy.testing import assert_array_equal

from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.interpreter import interpret, trace
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import PreconditionError
from ectoolkit.passes.residual_add import FuseResidualAdd
from ectoolkit.passes.taps import Tap, tappable
from ectoolkit.testing.networks import example_input, residual_graph


def test_taps_show_the_trace() -> None:
    graph = residual_graph()
    layers = tappable(graph)
    assert layers == ["quant", "stem", "add", "pool", "flatten", "fc"]  # not block, which is fused into the add
    x = example_input(graph)
    tapped = Tap(layers)(graph)
    outputs = interpret(tapped, x)
    expected = trace(graph, x)
    assert_array_equal(outputs[0], expected.outputs[0])
    for name, found in zip(layers, outputs[1:], strict=True):
        assert_array_equal(found, expected.real(name))


def test_what_cannot_be_tapped() -> None:
    graph = residual_graph()
    with pytest.raises(PreconditionError) as caught:
        Tap(["block"])(graph)
    assert str(caught.value) == "cannot tap block of residual: it gives int32, expected codes (uint8)"


def test_a_tap_that_would_change_an_add() -> None:
    """A max pool that only the add reads is its main operand; with a tap it would not be."""
    builder = GraphBuilder("net")
    x = builder.node("quantize", "quant", [builder.input((1, 3, 5, 5))], QuantParams.uint8(0.02, 100))
    quant = builder.values[x].quant
    pool = {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
    operands = [builder.node("max_pool2d", name, [x], quant, pool) for name in ("left", "right")]
    added = builder.node("add", "add", operands, QuantParams.uint8(0.03, 90), {"relu": False})
    graph = FuseResidualAdd()(builder.finish([builder.node("dequantize", "out", [added], None, dtype="float32")]))
    main = graph.node("add").inputs[0]
    assert main not in tappable(graph)
    with pytest.raises(PreconditionError) as caught:
        Tap([main])(graph)
    assert str(caught.value) == (
        f"cannot tap {main} of {graph.name}: an add would be computed in another way. Choose layers of "
        "ectoolkit.passes.taps.tappable"
    )
