"""Which operand of an add is the main one, what is fused, and which ReLU is lost."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.interpreter import interpret
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import PostconditionError, PrecisionWarning
from ectoolkit.passes.residual_add import FuseResidualAdd
from ectoolkit.testing.networks import convolution, example_input, residual_builder


def residual(left: str, right: str, *, shared: bool = False, add_relu: bool = False) -> Graph:
    """An add of two operands: x (stem, used elsewhere too), c (convolution), r (convolution + ReLU), m (max pool).

    Args:
        left: operand.
        right: operand.
        shared: the left operand is an output as well.
        add_relu: of the add.
    """
    builder = GraphBuilder("net")
    grid = QuantParams.uint8(np.float32(0.02), 128)
    x = builder.node("quantize", "quant", [builder.input((1, 3, 5, 5))], grid)
    stem = convolution(builder, "stem", x, 4, relu=True)
    quant = builder.values[stem].quant
    builder.node("relu", "elsewhere", [stem], quant)
    pool = {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}

    def operand(kind: str, name: str) -> str:
        if kind == "x":
            return stem
        if kind == "m":
            return builder.node("max_pool2d", name, [stem], quant, pool)
        return convolution(builder, name, stem, 4, relu=kind == "r")

    operands = [operand(left, "left"), operand(right, "right")]
    added = builder.node("add", "add", operands, QuantParams.uint8(np.float32(0.03), 90), {"relu": add_relu})
    ends = [added, "elsewhere", *([operands[0]] if shared else [])]
    return builder.finish(
        [builder.node("dequantize", f"out{i}", [end], None, dtype="float32") for i, end in enumerate(ends)]
    )


@pytest.mark.parametrize(
    ("left", "right", "shared", "operands", "fused"),
    [
        ("c", "c", False, ("left", "right"), "left"),
        ("c", "x", False, ("left", "stem"), "left"),
        ("x", "c", False, ("right", "stem"), "right"),
        ("c", "m", False, ("left", "right"), "left"),
        ("m", "c", False, ("left", "right"), None),
        ("m", "m", False, ("left", "right"), None),
        ("x", "m", False, ("right", "stem"), None),
        ("x", "x", False, ("stem", "stem"), None),
        ("c", "c", True, ("right", "left"), "right"),
        ("c", "x", True, ("left", "stem"), None),
        ("c", "m", True, ("right", "left"), None),
    ],
)
def test_main_operand(left: str, right: str, shared: bool, operands: tuple[str, str], fused: str | None) -> None:
    graph = FuseResidualAdd()(residual(left, right, shared=shared))
    assert graph.node("add").inputs == operands
    accumulators = [node.name for node in graph if graph.values[node.name].spec.dtype == "int32"]
    assert accumulators == ([] if fused is None else [fused])
    if fused is not None:
        bias = graph.values[f"{fused}.bias"].quant
        assert bias is not None
        assert graph.values[fused].quant == QuantParams.int32(bias.scale, axis=1)


@pytest.mark.parametrize("add_relu", [False, True])
@pytest.mark.parametrize(
    ("left", "right", "shared", "lost"),
    [
        ("r", "c", False, "left"),
        ("r", "r", False, "left"),
        ("r", "x", False, "left"),
        ("x", "r", False, "right"),
        ("c", "r", False, None),
        ("m", "r", False, None),
        ("r", "c", True, None),
        ("r", "r", True, "right"),
    ],
)
def test_lost_relu(left: str, right: str, shared: bool, lost: str | None, add_relu: bool) -> None:
    before = residual(left, right, shared=shared, add_relu=add_relu)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        after = FuseResidualAdd()(before)
    expected = (
        f"net: the ReLU of {lost} is dropped, because EdgeCortix's compiler fuses a convolution that only an add uses "
        "into that add, before its ReLU. The reference does what the board does. To keep the ReLU, use its result a "
        "second time or swap the add's operands, as import_torchscript(keep_relus=True) does where that helps"
    )
    assert [(w.category, str(w.message)) for w in caught] == ([] if lost is None else [(PrecisionWarning, expected)])
    if lost is not None:
        assert before.node(lost).attributes["relu"] is True
        assert after.node(lost).attributes["relu"] is False
    assert after.node("add").attributes["relu"] is add_relu


def test_the_advice_of_the_warning_works() -> None:
    """A second use keeps the ReLU, and so does being the other operand of a convolution."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert FuseResidualAdd()(residual("r", "x", shared=True)).node("left").attributes["relu"] is True
        assert FuseResidualAdd()(residual("c", "r")).node("right").attributes["relu"] is True


def test_all_lost_relus_in_one_warning() -> None:
    builder = GraphBuilder("net")
    grid = QuantParams.uint8(np.float32(0.02), 128)
    x = builder.node("quantize", "quant", [builder.input((1, 3, 5, 5))], grid)
    for name in ("one", "two"):
        main = convolution(builder, f"{name}.conv", x, builder.values[x].spec.shape[1], relu=True)
        x = builder.node("add", f"{name}.add", [main, x], grid, {"relu": False})
    graph = builder.finish([builder.node("dequantize", "out", [x], None, dtype="float32")])
    with pytest.warns(PrecisionWarning, match=r"net: the ReLU of one\.conv, two\.conv is dropped") as caught:
        FuseResidualAdd()(graph)
    assert len(caught) == 1


@pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")
@pytest.mark.parametrize("operands", ["cc", "xc", "rx", "xm", "xx"])
def test_twice_is_once(operands: str) -> None:
    once = FuseResidualAdd()(residual(*operands))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twice = FuseResidualAdd()(once)
    assert twice.sha256 == once.sha256
    x = example_input(once)
    for found, expected in zip(interpret(twice, x), interpret(once, x), strict=True):
        assert_array_equal(found, expected)


def test_the_old_graph_is_left_alone() -> None:
    builder, output = residual_builder()
    before = builder.finish([output])
    digest = before.sha256
    after = FuseResidualAdd()(before)
    assert before.values["block"].spec.dtype == "uint8"
    assert before.sha256 == digest != after.sha256


def test_graphs_without_adds_stay() -> None:
    builder = GraphBuilder("net")
    x = builder.node("quantize", "q", [builder.input((1, 3, 4, 4))], QuantParams.uint8(np.float32(0.02), 128))
    image = convolution(builder, "conv", x, 4)
    graph = builder.finish([builder.node("dequantize", "d", [image], None, dtype="float32")])
    assert FuseResidualAdd()(graph).sha256 == graph.sha256


def test_an_accumulator_elsewhere_is_a_bug() -> None:
    """What the pass ensures: raw sums go into one add, as its main operand."""
    graph = FuseResidualAdd()(residual("c", "x"))
    swapped = tuple(replace(n, inputs=n.inputs[::-1]) if n.name == "add" else n for n in graph.nodes)
    with pytest.raises(PostconditionError) as caught:
        FuseResidualAdd().ensures(graph.replace(nodes=swapped))
    assert str(caught.value) == "the accumulator of left must feed one add as its main operand"
