"""Kernels of the cpu library and the arithmetic they rest on, each against its definition, in every element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tvm.script import tirx as T  # noqa: N812

from ectoolkit.builders.cpu.importer import import_graph
from ectoolkit.builders.cpu.isa import ISAS
from ectoolkit.builders.cpu.kernels.fixed_point import requantized
from ectoolkit.builders.cpu.lowering.float_rounding import float_form
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.host import host_architecture, missing_features
from ectoolkit.core.interpreter import interpret
from ectoolkit.core.types import QuantParams
from ectoolkit.testing.captured import compiled

HERE = [
    isa.name for isa in ISAS.values() if isa.host_arch == host_architecture() and not missing_features(isa.cpu_features)
]
NUMBERS = settings(deadline=None, database=None, derandomize=True)

# --- arithmetic ----------------------------------------------------------------------------------------------------


@settings(NUMBERS, max_examples=300)
@given(
    most=st.integers(1, 2**17 - 1),
    multiplier=st.integers(2**25, 2**26),
    shift=st.integers(1, 62),
    limit=st.sampled_from([255, 512, 1023, 2**29]),
    seed=st.integers(0, 1000),
)
@example(most=255, multiplier=2**26, shift=1, limit=2**29, seed=0)
@example(most=2**17 - 1, multiplier=2**26, shift=43, limit=512, seed=0)
def test_small_numbers_in_32_bits(most: int, multiplier: int, shift: int, limit: int, seed: int) -> None:
    values = np.concatenate([[0, 1, -1, most, -most], np.random.default_rng(seed).integers(-most, most + 1, 12)])
    expected = np.clip(arithmetic.requantize(values, np.int64(multiplier), np.int64(shift)), -limit, limit)
    # TVM computes with constants as it makes the expression
    found = [int(requantized(T.int32(int(value)), most, multiplier, shift, limit)) for value in values]
    assert_array_equal(found, expected)


@settings(NUMBERS, max_examples=150)
@given(
    log_ratio=st.floats(-34, 4),
    width=st.integers(0, 2**23),
    centre=st.integers(-(2**28), 2**28),
    zero_point=st.integers(0, 255),
    ends=st.sampled_from([(0, 255), (0, 127), (100, 255)]),
    seed=st.integers(0, 1000),
)
def test_float_rounding_is_exact_where_it_is_found(
    log_ratio: float, width: int, centre: int, zero_point: int, ends: tuple[int, int], seed: int
) -> None:
    numbers = np.random.default_rng(seed)
    ratio = 2.0**log_ratio * numbers.uniform(1, 2, 3)
    multiplier, shift = arithmetic.requantize_multiplier(ratio)
    least = np.array([centre - width, -width, -width // 2])
    most = np.array([centre + width, width, width])
    form = float_form(multiplier, shift, zero_point, ends, (least, most))
    if form is None:
        return
    points = np.stack([numbers.integers(low, high + 1, 2000) for low, high in zip(least, most, strict=True)])
    near = np.rint((np.arange(-256, 512) - 0.5) / ratio[:, None]).clip(least[:, None], most[:, None]).astype(np.int64)
    points = np.concatenate([points, near, (near - 1).clip(least[:, None]), least[:, None], most[:, None]], axis=1)
    shifted = (points + form.shift[:, None]).astype(np.float32)
    assert_array_equal(shifted.astype(np.int64), points + form.shift[:, None])
    product = shifted.astype(np.float64) * form.factor[:, None]
    found = np.clip(np.rint(product) - form.steps[:, None] + zero_point, *ends)
    exact = arithmetic.requantize(points, multiplier[:, None], shift[:, None])
    assert_array_equal(found, np.clip(exact + zero_point, *ends))


@pytest.mark.parametrize("dead", [0, 3])
def test_float_rounding_is_found_for_ordinary_layers(dead: int) -> None:
    """Three channels of nearly no weight, with a bias at the far end, are no obstacle."""
    numbers = np.random.default_rng(dead)
    ratio = numbers.uniform(0.003, 0.02, 64)
    half = numbers.integers(50_000, 200_000, 64)
    centre = numbers.integers(-20_000, 20_000, 64)
    ratio[:dead], half[:dead], centre[:dead] = 1e-8, 100, -(2**28)
    form = float_form(*arithmetic.requantize_multiplier(ratio), 0, (0, 255), (centre - half, centre + half))
    assert form is not None


# --- kernels -------------------------------------------------------------------------------------------------------

#: shape, kernel, stride, padding, dilation: channels below, at and between the widths of vectors, one to seven taps
DEPTHWISE = [
    ((2, 144, 7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 96, 8, 9), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((1, 5, 6, 6), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 24, 10, 9), (5, 5), (1, 1), (2, 2), (1, 1)),
    ((1, 72, 9, 9), (5, 3), (2, 1), (2, 1), (1, 1)),
    ((1, 58, 12, 8), (3, 3), (1, 1), (2, 2), (2, 2)),
    ((1, 130, 11, 6), (7, 7), (1, 1), (3, 3), (1, 1)),
    ((1, 17, 1, 1), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 16, 4, 7), (2, 4), (3, 3), (1, 2), (1, 1)),
]


class Layers:
    """A graph of layers side by side, each with an input and an output of its own, on grids that are drawn."""

    def __init__(self, seed: int) -> None:
        self.numbers, self.builder, self.ends = np.random.default_rng(seed), GraphBuilder("layers"), []

    def grid(self, scale: float) -> QuantParams:
        return QuantParams.uint8(np.float32(scale), int(self.numbers.integers(0, 256)))

    def given(self, shape: tuple[int, ...]) -> str:
        number = len(self.ends)
        return self.builder.node(
            "quantize", f"quantize{number}", [self.builder.input(shape, f"input{number}")], self.grid(0.02)
        )

    def depthwise(
        self, x: str, kernel: tuple[int, int], attributes: dict[str, object], scale: float, name: str = ""
    ) -> str:
        channels = self.builder.values[x].spec.shape[1]
        weight = self.numbers.integers(-128, 128, (channels, 1, *kernel)).astype(np.int8)
        scales = (self.numbers.uniform(0.5, 2, channels) * 0.01).astype(np.float32)
        bias = self.numbers.normal(0, 2, channels).astype(np.float32)
        settings_of = {"groups": channels, "relu": bool(self.numbers.integers(2)), **attributes}
        name = name or f"layer{len(self.ends)}"
        return self.builder.weighted("conv2d", name, x, weight, scales, bias, self.grid(scale), settings_of)

    def moved(self, x: str, scale: float, name: str) -> str:
        """The same shape on another grid."""
        plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "relu": False}
        return self.depthwise(x, (1, 1), plain, scale, f"{name}{len(self.ends)}")

    def end(self, x: str) -> None:
        self.ends.append(self.builder.node("dequantize", f"out{len(self.ends)}", [x], None, dtype="float32"))

    def finish(self) -> Graph:
        return self.builder.finish(self.ends)


def check(graph: Graph, isa: str, layout: str) -> None:
    numbers = np.random.default_rng(0)
    steps = [numbers.integers(-600, 600, graph.values[name].spec.shape) for name in graph.inputs]
    inputs = [(step * np.float32(0.01)).astype(np.float32) for step in steps]
    for found, expected in zip(compiled(graph, layout, isa)(*inputs), interpret(graph, inputs), strict=True):
        assert_array_equal(found, expected)


@pytest.mark.parametrize("isa", HERE)
def test_depthwise(isa: str) -> None:
    layers = Layers(0)
    chosen = DEPTHWISE if isa == HERE[0] else DEPTHWISE[::2]
    for number, (shape, kernel, stride, padding, dilation) in enumerate(chosen):
        attributes = {"stride": stride, "padding": padding, "dilation": dilation}
        scale = (0.5, 0.7, 1e-4, 30.0)[number % 4]
        layers.end(layers.depthwise(layers.given(shape), kernel, attributes, scale))
    check(layers.finish(), isa, "NHWC")


def two_operands(layers: Layers, op: str, x: str, scales: tuple[float, float, float]) -> str:
    operands = [layers.moved(x, scale, name) for scale, name in zip(scales, ("left", "right"), strict=False)]
    attributes = {"multiply": {}, "concat": {"axis": 1}}.get(op, {"relu": bool(layers.numbers.integers(2))})
    return layers.builder.node(op, f"{op}{len(layers.ends)}", operands, layers.grid(scales[2]), attributes)


def squeezed(layers: Layers, op: str, x: str, scales: tuple[float, float, float]) -> str:
    middle = layers.builder.node("mean", f"mean{len(layers.ends)}", [x], layers.grid(scales[1]))
    operands = [x, middle] if layers.numbers.integers(2) else [middle, x]
    return layers.builder.node("multiply", f"scaled{len(layers.ends)}", operands, layers.grid(scales[2]), {})


def same_grid(layers: Layers, op: str, x: str, scales: tuple[float, float, float]) -> str:
    pool = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (1, 2), "ceil_mode": False}
    quant = layers.builder.values[x].quant
    return layers.builder.node(op, f"{op}{len(layers.ends)}", [x], quant, pool if op == "max_pool2d" else {})


MADE: dict[str, Callable[[Layers, str, str, tuple[float, float, float]], str]] = {
    **dict.fromkeys(("add", "precise_add", "multiply", "concat"), two_operands),
    "squeeze": squeezed,
    **dict.fromkeys(("max_pool2d", "global_avg_pool", "relu", "upsample_nearest", "upsample_bilinear"), same_grid),
}


@pytest.mark.parametrize("isa", HERE)
def test_layers_without_weights(isa: str) -> None:
    layers = Layers(1)
    shapes = [(1, 24, 7, 9), (2, 5, 3, 4), (1, 72, 5, 5)]
    grids = [(0.5, 0.7, 1.0), (0.01, 3.0, 0.02), (0.5, 0.5, 1e-5), (1e-4, 2e-4, 40.0)]
    for number, op in enumerate(MADE):
        for place in range(2 if isa == HERE[0] else 1):
            x = layers.given(shapes[(number + place) % len(shapes)])
            layers.end(MADE[op](layers, op, x, grids[(number + 2 * place) % len(grids)]))
    check(layers.finish(), isa, "NCHW")


@pytest.mark.parametrize("isa", HERE)
def test_grouped(isa: str) -> None:
    """Whole vectors of channels and parts of them."""
    layers = Layers(4)
    numbers = layers.numbers
    for channels, made, groups in ((6, 22, 2), (32, 32, 4)):
        x = layers.given((2, channels, 5, 4))
        attributes = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": groups, "relu": False}
        weight = numbers.integers(-128, 128, (made, channels // groups, 3, 2)).astype(np.int8)
        scales = numbers.uniform(0.005, 0.02, made).astype(np.float32)
        bias = numbers.normal(0, 2, made).astype(np.float32)
        given = ("conv2d", f"codes{made}", x, weight, scales, bias, layers.grid(0.5), attributes)
        layers.end(layers.builder.weighted(*given))
    check(layers.finish(), isa, "NHWC")


def test_paddings_and_shuffles_are_in_the_kernels_that_read_them() -> None:
    layers = Layers(2)
    attributes: dict[str, object] = {"stride": (2, 2), "padding": (0, 1), "dilation": (1, 1)}
    x = layers.given((1, 20, 9, 8))
    padded = layers.builder.node("pad", "pad", [x], layers.builder.values[x].quant, {"amounts": (0, 1, 2, 1)})
    x = layers.depthwise(padded, (3, 3), attributes, 0.5, "own")
    quant, (n, c, h, w) = layers.builder.values[x].quant, layers.builder.values[x].spec.shape
    for name, op, more in (
        ("parted", "reshape", {"shape": (n, 2, c // 2, h, w)}),
        ("turned", "transpose", {"order": (0, 2, 1, 3, 4)}),
        ("shuffled", "reshape", {"shape": (n, c, h, w)}),
    ):
        x = layers.builder.node(op, name, [x], quant, more)
    layers.end(x)
    graph = layers.finish()
    notes = {row["layer"]: row["kernels"] for row in import_graph(graph).rows}
    assert [notes[name] for name in ("pad", "parted", "turned")] == ["in own", "in shuffled", "in shuffled"]
    check(graph, "host", "NHWC")
