"""The full text of every error about a graph that breaks a law, and of passes that would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from messages import message_of

from ectoolkit.core.graph import Graph, Value
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.interpreter import trace
from ectoolkit.core.ops import OPS
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.core.verifier import verify
from ectoolkit.errors import (
    GraphError,
    PostconditionError,
    UnsupportedOpError,
    VerificationError,
)
from ectoolkit.passes.base import Pass
from ectoolkit.testing.networks import example_input, residual_builder, residual_graph, two_ended_graph

GRAPH = residual_graph()
X = example_input(GRAPH)["input0"]


# --- the laws of a graph ---------------------------------------------------------------------------------------------


def node_changed(name: str, **changes: Any) -> Graph:
    attributes = changes.pop("attributes", None)
    node = GRAPH.node(name)
    if attributes:
        changes["attributes"] = {**node.attributes, **attributes}
    return GRAPH.replace(nodes=tuple(replace(n, **changes) if n.name == name else n for n in GRAPH.nodes))


def value_changed(key: str, **changes: Any) -> Graph:
    return GRAPH.replace(values={**GRAPH.values, key: replace(GRAPH.values[key], **changes)})


def without_value(name: str) -> Graph:
    return GRAPH.replace(values={key: value for key, value in GRAPH.values.items() if key != name})


def constant_changed(name: str, array: np.ndarray) -> Graph:
    changed = value_changed(name, spec=replace(GRAPH.values[name].spec, shape=array.shape))
    return changed.replace(constants={**GRAPH.constants, name: array})


def spec(shape: tuple[int, ...], dtype: str = "uint8") -> TensorSpec:
    return TensorSpec(shape, dtype, Layout.of_activation(len(shape)))


def without_attribute() -> Graph:
    attributes = {key: value for key, value in GRAPH.node("add").attributes.items() if key != "relu"}
    return GRAPH.replace(nodes=tuple(replace(n, attributes=attributes) if n.name == "add" else n for n in GRAPH))


def no_constant() -> Graph:
    """The block's weight is an input, which is float32 by law, so it comes out of a node instead."""
    builder = GraphBuilder("m")
    grid = QuantParams.uint8(np.float32(0.1), 0)
    x = builder.node("quantize", "q", [builder.input((1, 2, 4, 4))], grid)
    conv = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "relu": False}
    ones = np.ones((2, 2, 1, 1), np.int8)
    builder.weighted("conv2d", "c", x, ones, np.float32(0.1), None, grid, conv)
    output = builder.node("dequantize", "d", ["c"], None, dtype="float32")
    graph = builder.finish([output])
    constants = {name: array for name, array in graph.constants.items() if name != "c.bias"}
    return graph.replace(constants=constants)


RELU_GRID = GRAPH.values["stem"].quant
WIDE = QuantParams(np.float32(0.1), 300, 0, 1000)
ADD_GRID = GRAPH.values["add"].quant
BIAS_SCALE = GRAPH.values["stem.bias"].quant.scale  # type: ignore[union-attr]
OVERFLOW = np.full(6, 2**31 - 1, np.int32)

BROKEN: list[tuple[str, Callable[[], Graph], str]] = [
    (
        "no outputs",
        lambda: GRAPH.replace(outputs=()),
        "residual: a graph needs at least one input and one output",
    ),
    (
        "float ends",
        lambda: GRAPH.replace(outputs=("fc",)),
        "residual: fc is uint8 1×4 NC; inputs and outputs are float32",
    ),
    (
        "an input undescribed",
        lambda: without_value("input0"),
        "residual: 'input0' has no description among the graph's values",
    ),
    (
        "a node undescribed",
        lambda: without_value("pool"),
        "residual: 'pool' has no description among the graph's values",
    ),
    (
        "an unknown output",
        lambda: GRAPH.replace(outputs=("nowhere",)),
        "residual: 'nowhere' has no description among the graph's values",
    ),
    (
        "an output by no node",
        lambda: GRAPH.replace(
            outputs=("lost",), values={**GRAPH.values, "lost": Value("lost", spec((1, 4), "float32"))}
        ),
        "residual: no node makes 'lost'; remove the value or add its node",
    ),
    (
        "another name",
        lambda: value_changed("pool", name="pond"),
        "the value 'pool' is described under another name, 'pond'",
    ),
    (
        "a float with a grid",
        lambda: value_changed("dequant", quant=RELU_GRID),
        "dequant is float32 1×4 NC with quantization parameters; only integers have them",
    ),
    (
        "codes without a grid",
        lambda: value_changed("pool", quant=None),
        "pool is uint8 1×6×1×1 NCHW without quantization parameters; integers need a scale",
    ),
    (
        "an unknown dtype",
        lambda: value_changed("pool", spec=spec((1, 6, 1, 1), "int16")),
        "pool is int16 1×6×1×1 NCHW; the graph knows float32, uint8, int8, int32",
    ),
    (
        "a grid too wide",
        lambda: value_changed("add", quant=WIDE),
        "add is uint8 1×6×6×5 NCHW with codes 0..1000, more than uint8 holds",
    ),
    (
        "an activation with scales",
        lambda: value_changed("add", quant=QuantParams(BIAS_SCALE, 0, 0, 255, axis=1)),
        "add is uint8 1×6×6×5 NCHW with a scale per channel; an activation has one scale",
    ),
    (
        "scales of another number",
        lambda: value_changed("block", quant=QuantParams.int32(BIAS_SCALE[:5], axis=1)),
        "block is int32 1×6×6×5 NCHW with 5 scales along axis 1",
    ),
    (
        "a constant misdescribed",
        lambda: GRAPH.replace(constants={**GRAPH.constants, "stem.bias": np.zeros(7, np.int32)}),
        "constant stem.bias is int32 (7,) but described as int32 6 C",
    ),
    (
        "a constant undescribed",
        lambda: GRAPH.replace(constants={**GRAPH.constants, "more": np.zeros(7, np.int32)}),
        "constant more is int32 (7,) but described as None",
    ),
    (
        "a name twice",
        lambda: GRAPH.replace(nodes=(*GRAPH.nodes, GRAPH.node("pool"))),
        "two values are named 'pool'; names must be unique",
    ),
    (
        "out of order",
        lambda: GRAPH.replace(nodes=tuple(reversed(GRAPH.nodes))),
        "layer dequant reads 'fc', which nothing before it makes",
    ),
    ("a setting missing", without_attribute, "layer add (add) lacks the setting 'relu'"),
    (
        "too many inputs",
        lambda: node_changed("pool", inputs=("add", "add")),
        "layer pool (global_avg_pool): takes 1 inputs, got 2",
    ),
    (
        "the wrong dtype",
        lambda: node_changed("flatten", inputs=("stem.bias",)),
        "layer flatten (reshape) takes uint8 or float32 as input 0, got stem.bias: int32 6 C",
    ),
    (
        "either dtype",
        lambda: node_changed("add", inputs=("input0", "stem")),
        "layer add (add) takes uint8 or int32 as input 0, got input0: float32 1×3×6×5 NCHW",
    ),
    (
        "the wrong result dtype",
        lambda: value_changed("pool", spec=spec((1, 6, 1, 1), "int32"), quant=QuantParams.int32(BIAS_SCALE, axis=1)),
        "layer pool (global_avg_pool) makes uint8, but is described as int32 1×6×1×1 NCHW",
    ),
    (
        "the wrong result shape",
        lambda: value_changed("pool", spec=spec((1, 6, 2, 1))),
        "layer pool (global_avg_pool) makes uint8 1×6×1×1 NCHW, but is described as uint8 1×6×2×1 NCHW",
    ),
    (
        "the wrong rank",
        lambda: node_changed("fc", op="global_avg_pool", inputs=("flatten",)),
        "layer fc (global_avg_pool): takes an input of 4 axes, got flatten: uint8 1×6 NC",
    ),
    (
        "no pair",
        lambda: node_changed("stem", attributes={"stride": 1}),
        "layer stem (conv2d): stride is 1, expected (rows, columns), whole numbers from 1",
    ),
    (
        "a stride of 0",
        lambda: node_changed("stem", attributes={"stride": (1, 0)}),
        "layer stem (conv2d): stride is (1, 0), expected (rows, columns), whole numbers from 1",
    ),
    (
        "a padding below 0",
        lambda: node_changed("stem", attributes={"padding": (-1, 0)}),
        "layer stem (conv2d): padding is (-1, 0), expected (rows, columns), whole numbers from 0",
    ),
    (
        "a large kernel",
        lambda: node_changed("stem", attributes={"dilation": (5, 1)}),
        "layer stem (conv2d): a 3×3 kernel with dilation (5, 1) is larger than its padded input 8×7",
    ),
    (
        "groups",
        lambda: node_changed("stem", attributes={"groups": 2}),
        "layer stem (conv2d): weight (6, 3, 3, 3) with 2 groups does not fit 3 input channels",
    ),
    (
        "no groups",
        lambda: node_changed("stem", attributes={"groups": 0}),
        "layer stem (conv2d): weight (6, 3, 3, 3) with 0 groups does not fit 3 input channels",
    ),
    (
        "an accumulator past ReLU",
        lambda: node_changed("block", attributes={"relu": True}),
        "layer block (conv2d): a raw int32 accumulator cannot have passed a ReLU",
    ),
    (
        "another bias grid",
        lambda: value_changed("stem.bias", quant=QuantParams.int32(BIAS_SCALE * 2, axis=0)),
        "layer stem (conv2d): the bias must lie on the grid input scale × weight scale, got "
        "QuantParams(scale=<6 along axis 0>, zero_point=0, -2147483648..2147483647)",
    ),
    (
        "one weight scale",
        lambda: value_changed("stem.weight", quant=QuantParams(np.float32(0.1), 0, -128, 127)),
        "layer stem (conv2d): weights need a scale per output channel",
    ),
    ("a bias that is no constant", no_constant, "layer c reads 'c.bias', which nothing before it makes"),
    (
        "int32 overflow",
        lambda: constant_changed("stem.bias", OVERFLOW),
        "layer stem (conv2d): channel {channel}'s accumulator can reach {reach}, more than int32 holds (2147483647); "
        "use narrower weights (fewer bits) or split the layer's input channels",
    ),
    (
        "another accumulator scale",
        lambda: value_changed("block", quant=QuantParams.int32(BIAS_SCALE * 3, axis=1)),
        "layer block (conv2d): a raw accumulator keeps its bias's scale",
    ),
    (
        "linear weights",
        lambda: constant_changed("fc.weight", np.zeros((4, 5), np.int8)),
        "layer fc (linear): weight (4, 5) does not fit input (1, 6)",
    ),
    (
        "add of two shapes",
        lambda: node_changed("add", inputs=("stem", "quant")),
        "layer add (add): operands must have one shape, got (1, 6, 6, 5) and (1, 3, 6, 5)",
    ),
    (
        "a pool that moves codes",
        lambda: value_changed("pool", quant=RELU_GRID),
        "layer pool (global_avg_pool): add and pool must share scale and zero point, got "
        "QuantParams(scale=0.03, zero_point=100, 0..255) and QuantParams(scale=0.02, zero_point=0, 0..255)",
    ),
    (
        "a reshape of another size",
        lambda: node_changed("flatten", attributes={"shape": (1, 7)}),
        "layer flatten (reshape): (1, 6, 1, 1) has 6 elements, (1, 7) has 7",
    ),
]


@pytest.mark.parametrize(("broken", "expected"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_verification(broken: Callable[[], Graph], expected: str) -> None:
    weight = np.abs(GRAPH.constants["stem.weight"].astype(np.int64)).sum(axis=(1, 2, 3))
    channel = int(weight.argmax())
    reach = 255 * int(weight[channel]) + 2**31 - 1
    if "{reach}" in expected:
        expected = expected.format(channel=channel, reach=reach)
    assert message_of(lambda: verify(broken()), VerificationError) == expected


def test_good_graphs_verify() -> None:
    verify(GRAPH)
    verify(two_ended_graph())


def test_accumulator_overflow_is_refused_at_its_edge() -> None:
    """The largest bias that fits, and one more."""
    builder = GraphBuilder("edge")
    grid = QuantParams.uint8(np.float32(1), 0)
    x = builder.node("quantize", "q", [builder.input((1, 1, 1, 1))], grid)
    conv = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "relu": False}
    weight = np.full((1, 1, 1, 1), -128, np.int8)
    builder.weighted("conv2d", "c", x, weight, np.float32(1), None, grid, conv)
    graph = builder.finish([builder.node("dequantize", "d", ["c"], None, dtype="float32")])
    most = 2**31 - 1 - 255 * 128
    for sign in (1, -1):
        fits = graph.replace(constants={**graph.constants, "c.bias": np.array([sign * most], np.int32)})
        verify(fits)
        acc = trace(fits, np.full((1, 1, 1, 1), 255, np.float32))["c"]
        assert acc.item() == (255 if sign > 0 else 0)
        over = graph.replace(constants={**graph.constants, "c.bias": np.array([sign * (most + 1)], np.int32)})
        assert message_of(lambda over=over: verify(over), VerificationError) == (
            "layer c (conv2d): channel 0's accumulator can reach 2147483648, more than int32 holds (2147483647); "
            "use narrower weights (fewer bits) or split the layer's input channels"
        )


def test_concat_laws() -> None:
    graph = two_ended_graph()
    joined = graph.node("join")

    def changed(**changes: Any) -> Graph:
        return graph.replace(nodes=tuple(replace(n, **changes) if n is joined else n for n in graph.nodes))

    assert message_of(lambda: verify(changed(attributes={"axis": 2})), VerificationError) == (
        "layer join (concat): shapes [(1, 3, 4, 5), (1, 2, 4, 5)] cannot be joined along axis 2"
    )
    assert message_of(lambda: verify(changed(attributes={"axis": 4})), VerificationError) == (
        "layer join (concat): shapes [(1, 3, 4, 5), (1, 2, 4, 5)] cannot be joined along axis 4"
    )
    assert message_of(lambda: verify(changed(inputs=())), VerificationError) == (
        "layer join (concat): takes at least one input, got 0"
    )


def pool_graph(**changes: Any) -> Graph:
    builder = GraphBuilder("pool")
    grid = QuantParams.uint8(np.float32(1), 0)
    x = builder.node("quantize", "q", [builder.input((1, 1, 2, 2))], grid)
    attributes = {"kernel": (2, 2), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}
    builder.node("max_pool2d", "p", [x], grid, {**attributes, **changes})
    return builder.finish([builder.node("dequantize", "d", ["p"], None, dtype="float32")])


def test_max_pool_laws() -> None:
    assert message_of(lambda: pool_graph(padding=(2, 0)), VerificationError) == (
        "layer p (max_pool2d): padding (2, 0) is more than half the window (2, 2): a window could lie outside the input"
    )
    assert message_of(lambda: pool_graph(kernel=(3, 1)), VerificationError) == (
        "layer p (max_pool2d): the window (3, 1) is larger than the padded input (2, 2)"
    )


def test_unknown_op() -> None:
    known = ", ".join(sorted(OPS))
    text = f"layer pool uses 'softmax', which the integer graph does not define; it knows {known}"
    assert message_of(lambda: verify(node_changed("pool", op="softmax")), UnsupportedOpError) == text
    builder, _ = residual_builder()
    assert message_of(lambda: builder.node("softmax", "pool2", ["add"], None), UnsupportedOpError) == text.replace(
        "pool", "pool2", 1
    )


def test_unknown_layer() -> None:
    assert message_of(lambda: GRAPH.node("net.stem"), GraphError) == (
        "residual has no layer 'net.stem'; near names: stem. Names are those in the first column of the layer table"
    )
    assert message_of(lambda: trace(GRAPH, X)["nothing"], GraphError) == (
        "residual has no layer 'nothing'; near names: none. Names are those in the first column of the layer table"
    )


# --- passes ----------------------------------------------------------------------------------------------------------


def test_a_pass_that_breaks_a_graph() -> None:
    class Broken(Pass):
        def rewrite(self, graph: Graph) -> Graph:
            return graph.replace(outputs=())

    assert message_of(lambda: Broken()(GRAPH), PostconditionError) == (
        "Broken made an invalid graph of residual: residual: a graph needs at least one input and one output. "
        "This is a bug in ectoolkit; please report it with the model"
    )
