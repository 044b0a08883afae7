"""Adds that no accelerator dictates: no ReLU is lost, nothing is cut, raw sums where they help."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.interpreter import trace
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import PostconditionError
from ectoolkit.passes.precise_add import PreciseResidualAdd
from ectoolkit.testing.networks import convolution, example_input


def block(scale: float, *, relu: bool = False, shared: bool = False, left: bool = True) -> Graph:
    """A convolution of a stem, whose scale is 0.02, added to that stem; `scale`: of the convolution."""
    builder = GraphBuilder("block")
    x = builder.node("quantize", "quant", [builder.input((1, 3, 5, 5))], QuantParams.uint8(0.02, 128))
    stem = convolution(builder, "stem", x, 4, relu=True)
    inner = convolution(builder, "inner", stem, 4, relu=relu)
    quant = builder.values[inner].quant
    assert quant is not None
    builder.values[inner] = replace(builder.values[inner], quant=QuantParams.uint8(scale, quant.zero_point))
    operands = [inner, stem] if left else [stem, inner]
    added = builder.node("add", "add", operands, QuantParams.uint8(0.03, 90), {"relu": False})
    ends = [added, inner] if shared else [added]
    return builder.finish(
        [builder.node("dequantize", f"out{i}", [e], None, dtype="float32") for i, e in enumerate(ends)]
    )


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize(
    ("settings", "operands", "dtype"),
    [
        ({"scale": 0.015}, ("inner", "stem"), "int32"),
        ({"scale": 0.02}, ("inner", "stem"), "int32"),
        ({"scale": 0.03}, ("stem", "inner"), "uint8"),
        ({"scale": 0.015, "relu": True}, ("inner", "stem"), "uint8"),
        ({"scale": 0.015, "shared": True}, ("inner", "stem"), "uint8"),
    ],
    ids=["smaller", "equal", "larger", "with relu", "used twice"],
)
def test_operands(settings: dict, operands: tuple[str, str], dtype: str, left: bool) -> None:
    graph = block(**settings, left=left)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        precise = PreciseResidualAdd()(graph)
    assert precise.node("add").inputs == operands
    assert precise.values["inner"].spec.dtype == dtype
    assert precise.node("inner").attributes["relu"] == bool(settings.get("relu"))
    assert PreciseResidualAdd()(precise).sha256 == precise.sha256


@pytest.mark.parametrize("settings", [{"scale": 0.015}, {"scale": 0.03}, {"scale": 0.015, "relu": True}])
def test_closer_to_the_real_sum_than_any_other_order(settings: dict) -> None:
    graph = block(**settings)
    x = example_input(graph)

    def error(graph: Graph) -> float:
        run = trace(graph, x)
        return float(np.abs(run.real("add") - exact).mean())

    raw = trace(PreciseResidualAdd()(block(0.015)), x)  # the convolution's own sums, neither rounded nor cut
    inner = raw.real("inner")
    total = raw.real("stem") + (np.maximum(inner, 0) if settings.get("relu") else inner)
    exact = np.clip(total, -90 * 0.03, 165 * 0.03)
    swapped = graph.replace(nodes=tuple(replace(n, inputs=n.inputs[::-1]) if n.op == "add" else n for n in graph.nodes))
    assert error(PreciseResidualAdd()(graph)) <= min(error(graph), error(swapped))


def test_broken_promise() -> None:
    class Wrong(PreciseResidualAdd):
        def rewrite(self, graph: Graph) -> Graph:
            return graph

    with pytest.raises(PostconditionError) as caught:
        Wrong()(block(0.03))
    assert str(caught.value) == "the main operand of add must have the smaller scale"
