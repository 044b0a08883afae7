"""The full text of every error of ectoolkit.core, passes, builders and devices, so that each one is known to render."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ectoolkit._optional import require
from ectoolkit.builders import build
from ectoolkit.builders.cpu.importer import import_graph
from ectoolkit.builders.cpu.isa import choose_isa
from ectoolkit.core import arithmetic
from ectoolkit.core.atomic import replacing_file, replacing_folder
from ectoolkit.core.compare import compare
from ectoolkit.core.graph import Graph, Value
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.graph_file import save_graph
from ectoolkit.core.interpreter import interpret, trace
from ectoolkit.core.ops import OPS
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.core.verifier import verify
from ectoolkit.devices import open_device
from ectoolkit.errors import (
    BuildError,
    DeviceError,
    DeviceNotFoundError,
    DeviceStateError,
    EctoolkitError,
    GraphError,
    InputError,
    MissingDependencyError,
    PluginError,
    PostconditionError,
    QuantizationError,
    UnsupportedOpError,
    VerificationError,
)
from ectoolkit.passes.base import Pass
from ectoolkit.testing.networks import example_input, residual_builder, residual_graph, two_ended_graph

GRAPH = residual_graph()
X = example_input(GRAPH)["input0"]


def message_of(call: Callable[[], object], kind: type[EctoolkitError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)


# --- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_scale(scale: float) -> None:
    expected = f"a scale must be finite and positive, got {np.float32(scale)}; look at the calibration data"
    assert message_of(lambda: QuantParams.uint8(np.float32(scale), 0), QuantizationError) == expected


def test_grid() -> None:
    def text(*arguments: Any) -> str:
        return message_of(lambda: QuantParams(*arguments), QuantizationError)

    assert text(np.float32(1), 256, 0, 255) == "zero_point 256 lies outside [0, 255], the integers in use"
    assert text(np.float32(1), 0, 0, 255, 1) == "a scale of shape () does not fit axis 1"
    assert text(np.ones(3, np.float32), 0, 0, 255) == "a scale of shape (3,) does not fit axis None"


def test_empty_axis() -> None:
    assert message_of(lambda: TensorSpec((1, 0, 3), "uint8", Layout.ANY), GraphError) == (
        "shape (1, 0, 3) has an extent below 1; every axis needs at least one element"
    )


# --- arithmetic ----------------------------------------------------------------------------------------------------


def test_quantize() -> None:
    assert message_of(lambda: arithmetic.quantize(np.zeros(2), np.float32(1), 0), QuantizationError) == (
        "quantize takes float32, got float64; convert the array with .astype(numpy.float32)"
    )
    nan = np.array([[0, np.nan]], np.float32)
    assert message_of(lambda: arithmetic.quantize(nan, np.float32(1), 0), QuantizationError) == (
        "the input holds NaN, first at index (0, 1); an integer code cannot stand for it"
    )
    tiny = np.float32(1e-40)
    assert message_of(lambda: arithmetic.reciprocal_of(tiny), QuantizationError) == (
        f"scale {tiny} is too small: its float32 reciprocal overflows; widen the range"
    )


@pytest.mark.parametrize("bias", [2.0**31, -(2.0**31) - 256, 3e38])
def test_bias_overflow(bias: float) -> None:
    biases, scales = np.array([0, bias], np.float32), np.array([1, 1], np.float32)
    assert message_of(lambda: arithmetic.quantize_bias(biases, scales, "layer1.conv"), QuantizationError) == (
        f"the bias of layer1.conv does not fit int32: channel 1 has bias {biases[1]:g} at scale 1, which is "
        f"{biases[1]:g} steps, expected within ±2147483647. The channel's weights are close to zero: give them a "
        "larger scale (per-tensor weights), or prune the channel"
    )


def test_ratio() -> None:
    assert message_of(lambda: arithmetic.requantize_multiplier(2.0**25, "fc"), QuantizationError) == (
        "fc needs a requantize ratio of 3.35544e+07, expected above 0 and below 2**25. The scales of its input and "
        "output are too far apart: calibrate with data that reaches this layer"
    )


# --- the laws of a graph -------------------------------------------------------------------------------------------


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


# --- passes --------------------------------------------------------------------------------------------------------


def test_a_pass_that_breaks_a_graph() -> None:
    class Broken(Pass):
        def rewrite(self, graph: Graph) -> Graph:
            return graph.replace(outputs=())

    assert message_of(lambda: Broken()(GRAPH), PostconditionError) == (
        "Broken made an invalid graph of residual: residual: a graph needs at least one input and one output. "
        "This is a bug in ectoolkit; please report it with the model"
    )


# --- inputs --------------------------------------------------------------------------------------------------------

SHAPE = "expected (1, 3, 6, 5) (NCHW), or a batch that is a multiple of 1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([X, X], "residual takes 1 input(s), got 2"),
        ({"image": X}, "residual takes the inputs ['input0'], got ['image']"),
        (
            X.astype(np.float64),
            "input0 of residual is float32, got float64; preprocess the image (scale, subtract the mean) and convert "
            "with .astype(numpy.float32)",
        ),
        (
            np.zeros(X.shape, np.uint8),
            "input0 of residual is float32, got uint8; preprocess the image (scale, subtract the mean) and convert "
            "with .astype(numpy.float32)",
        ),
        (X[:, :, :5], f"input0 of residual has shape (1, 3, 5, 5), {SHAPE}"),
        (X[:0], f"input0 of residual has shape (0, 3, 6, 5), {SHAPE}"),
        (X[0], f"input0 of residual has shape (3, 6, 5), {SHAPE}; the batch axis is missing: use array[None]"),
        (
            X.transpose(0, 2, 3, 1),
            f"input0 of residual has shape (1, 6, 5, 3), {SHAPE}; this looks like NHWC: use "
            "array.transpose(0, 3, 1, 2)",
        ),
        (np.float32(1), f"input0 of residual has shape (), {SHAPE}"),
    ],
    ids=["number", "names", "float64", "uint8", "shape", "empty", "batch axis", "NHWC", "scalar"],
)
def test_inputs(given: Any, expected: str) -> None:
    assert message_of(lambda: interpret(GRAPH, given), InputError) == expected


def test_input_with_nan() -> None:
    bad = X.copy()
    bad[0, 2, 1, 3] = np.nan
    assert message_of(lambda: interpret(GRAPH, bad), InputError) == (
        "input0 of residual holds NaN, first at index (0, 2, 1, 3); an integer code cannot stand for it"
    )


def test_input_of_another_batch() -> None:
    assert message_of(lambda: interpret(residual_graph(2), np.concatenate([X] * 3)), InputError) == (
        "input0 of residual has shape (3, 3, 6, 5), expected (2, 3, 6, 5) (NCHW), or a batch that is a multiple of 2"
    )


def test_inputs_of_different_numbers() -> None:
    graph = two_ended_graph()
    given = {**example_input(graph, batch=2), "right": example_input(graph)["right"]}
    assert message_of(lambda: interpret(graph, given), InputError) == (
        "the inputs of two_ended hold different numbers of images: {'left': (2, 3, 4, 5), 'right': (1, 2, 4, 5)}"
    )


# --- compare -------------------------------------------------------------------------------------------------------


def test_compare() -> None:
    assert message_of(lambda: compare([X, X], [X]), InputError) == "cannot compare 2 tensor(s) with 1"
    assert message_of(lambda: compare([], []), InputError) == "cannot compare 0 tensor(s) with 0"
    assert message_of(lambda: compare(X, X[0]), InputError) == (
        "cannot compare output0: float32 (1, 3, 6, 5) with a reference of float32 (3, 6, 5); bring both to one layout "
        "first"
    )
    assert message_of(lambda: compare(X, X.astype(np.float64), ["scores"]), InputError) == (
        "cannot compare scores: float32 (1, 3, 6, 5) with a reference of float64 (1, 3, 6, 5); bring both to one "
        "layout first"
    )


# --- files ---------------------------------------------------------------------------------------------------------


def write_folder(path: Path) -> None:
    with replacing_folder(path, lambda folder: False, "deploy directory"):
        raise AssertionError("must be refused before anything is written")


def write_file(path: Path) -> None:
    with replacing_file(path):
        raise AssertionError("must be refused before anything is written")


def test_out_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    assert message_of(lambda: write_folder(path), InputError) == (
        f"{path} is a file; expected the name of a deploy directory to write. Choose another name or remove it"
    )
    below = path / "deploy"
    expected = f"cannot write {below}: the folder {path} is a file. Create it, or choose another place"
    assert message_of(lambda: write_folder(below), InputError) == expected
    assert message_of(lambda: write_file(below), InputError) == expected


def test_out_holds_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    assert message_of(lambda: write_folder(tmp_path), InputError) == (
        f"{tmp_path} holds other files and is not a deploy directory, so it will not be replaced. Choose another name "
        "or empty it"
    )


def test_out_is_a_folder(tmp_path: Path) -> None:
    expected = f"{tmp_path} is a folder; expected the name of a file to write"
    assert message_of(lambda: write_file(tmp_path), InputError) == expected
    assert message_of(lambda: save_graph(GRAPH, tmp_path), InputError) == expected


def test_no_folder_to_write_in(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "deploy"
    expected = f"cannot write {path}: the folder {path.parent} does not exist. Create it, or choose another place"
    assert message_of(lambda: write_folder(path), InputError) == expected
    assert message_of(lambda: write_file(path), InputError) == expected


def test_folder_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    path = tmp_path / "deploy"
    expected = f"cannot write {path}: the folder {tmp_path} is not writable. Choose another place"
    assert message_of(lambda: write_folder(path), InputError) == expected
    assert message_of(lambda: write_file(path), InputError) == expected
    assert message_of(lambda: build(GRAPH, path, reference_input=X), InputError) == expected


# --- builders ------------------------------------------------------------------------------------------------------


def test_unknown_target(tmp_path: Path) -> None:
    assert message_of(lambda: build(GRAPH, tmp_path / "d", "fpga"), BuildError) == (
        "there is no target 'fpga'; known: 'cpu', 'mera:IP', 'mera:InterpreterHw', 'mera:Simulator', "
        "'mera:VerilatorSimulator'"
    )


def test_unknown_isa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = "'avx512vnni', 'avxvnni', 'avx2', 'generic', 'neoni8mm', 'neondot', 'neon'"
    expected = f"there is no instruction set 'avx1024'; known: 'host', {known}"
    assert message_of(lambda: choose_isa("avx1024"), BuildError) == expected
    given = {"reference_input": X, "isa": "avx1024"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == expected
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert message_of(choose_isa, BuildError) == (
        "the cpu target makes x86-64 and aarch64 code and this is riscv64; name the instruction set of the machine it "
        f"is for: isa={known.replace(', ', ' or ')}"
    )


def test_unknown_layout(tmp_path: Path) -> None:
    expected = "layout is 'NCWH', expected 'NHWC' or 'NCHW'"
    assert message_of(lambda: import_graph(GRAPH, layout="NCWH"), InputError) == expected
    given = {"reference_input": X, "layout": "NCWH"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), InputError) == expected
    assert list(tmp_path.iterdir()) == []


def test_unknown_host(tmp_path: Path) -> None:
    given = {"reference_input": X, "host_arch": "riscv"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == (
        "host_arch is 'riscv'; the cpu target builds for 'x86' or 'x86_64' or 'arm' or 'aarch64'"
    )


def test_instruction_set_of_another_host(tmp_path: Path) -> None:
    given = {"reference_input": X, "host_arch": "arm", "isa": "avx2"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == (
        "instruction set 'avx2' is of x86_64 and host_arch is 'arm', which has 'neoni8mm' or 'neondot' or 'neon'"
    )


def test_no_cross_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", str(tmp_path))
    given = {"reference_input": X, "host_arch": "arm"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == (
        "Linking deploy.so for aarch64 needs aarch64-linux-gnu-g++, which is not in PATH. "
        "On Debian and Ubuntu: apt install g++-aarch64-linux-gnu"
    )
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    given = {"reference_input": X, "isa": "avx2"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == (
        "Linking deploy.so for x86_64 needs x86_64-linux-gnu-g++, which is not in PATH. "
        "On Debian and Ubuntu: apt install g++-x86-64-linux-gnu"
    )


def test_reference_input_of_several_runs(tmp_path: Path) -> None:
    given = {"reference_input": np.concatenate([X, X])}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), InputError) == (
        "reference_input input0 has shape (2, 3, 6, 5), expected one run: (1, 3, 6, 5)"
    )


# --- devices -------------------------------------------------------------------------------------------------------


def test_unknown_device() -> None:
    names = ", ".join(sorted(point.name for point in entry_points(group="ectoolkit.devices")))
    expected = f"there is no device 'fpga0'; there are {names}."
    assert message_of(lambda: open_device("fpga0"), DeviceNotFoundError) == expected
    expected = f"there is no device 'interpeter'; there are {names}. Did you mean 'interpreter'?"
    assert message_of(lambda: open_device("interpeter"), DeviceNotFoundError) == expected


def test_device_options() -> None:
    assert message_of(lambda: open_device("interpreter", threads=2), PluginError) == (
        "device interpreter does not take these options: InterpreterDevice.__init__() got an unexpected keyword "
        "argument 'threads'"
    )


def test_device_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    for threads in (0, 3):
        assert message_of(lambda threads=threads: open_device("cpu", threads=threads), DeviceError) == (
            f"threads is {threads}, expected 1 to 2, the CPUs this process may use"
        )


@pytest.mark.parametrize("name", ["cpu", "interpreter"])
def test_closed_device(name: str) -> None:
    expected = f"{name} is not open; use it as `with open_device('{name}') as device:`"
    device = open_device(name)
    nothing: Any = None
    assert message_of(lambda: device.run(nothing), DeviceStateError) == expected
    with device:
        pass
    assert message_of(lambda: device.load(nothing), DeviceStateError) == expected


# --- missing libraries ---------------------------------------------------------------------------------------------


def refuse(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    def refusing(name: str, package: str | None = None) -> ModuleType:
        raise error

    monkeypatch.setattr(importlib, "import_module", refusing)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("torch", "pip install 'ectoolkit[torch]'"),
        ("tvm.relax", "pip install 'ectoolkit[tvm]'"),
        ("pandas", "pip install 'ectoolkit[analysis]'"),
        ("anywidget", "pip install 'ectoolkit[notebook]'"),
        ("skimage.data", "pip install 'ectoolkit[samples]'"),
        ("onnx", "pip install onnx"),
    ],
)
def test_missing_library(monkeypatch: pytest.MonkeyPatch, name: str, cure: str) -> None:
    root = name.partition(".")[0]
    refuse(monkeypatch, ModuleNotFoundError(f"No module named {root!r}", name=root))
    assert message_of(lambda: require(name, feature="Reading a model"), MissingDependencyError) == (
        f"Reading a model needs {root}, which is not installed. Install it with: {cure}"
    )


def test_broken_library(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, ImportError("libcudart.so.13: cannot open shared object file"))
    assert message_of(lambda: require("torch", feature="Reading a model"), MissingDependencyError) == (
        "Reading a model needs torch, which is installed but does not import (libcudart.so.13: cannot open shared "
        "object file). Install it with: pip install 'ectoolkit[torch]'"
    )


def test_library_that_misses_another(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, ModuleNotFoundError("No module named 'sympy'", name="sympy"))
    assert message_of(lambda: require("torch", feature="Reading a model"), MissingDependencyError) == (
        "Reading a model needs torch, which is installed but does not import (No module named 'sympy'). "
        "Install it with: pip install 'ectoolkit[torch]'"
    )


def test_build_without_tvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, ModuleNotFoundError("No module named 'tvm'", name="tvm"))
    given = {"reference_input": X}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), MissingDependencyError) == (
        "Building for the cpu needs tvm, which is not installed. Install it with: pip install 'ectoolkit[tvm]'"
    )
    assert list(tmp_path.iterdir()) == []
