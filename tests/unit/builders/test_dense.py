"""Dense convolutions alone, in chains and with adds, and their parts, equal the interpreter in every element."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ectoolkit.builders.cpu.compiler import compile_module
from ectoolkit.builders.cpu.importer import import_graph
from ectoolkit.builders.cpu.isa import AVX512VNNI, ISAS
from ectoolkit.builders.cpu.kernels.frames import Frame
from ectoolkit.builders.cpu.kernels.tiles import Tile, choose_tile
from ectoolkit.builders.cpu.lowering.endings import split_of_codes
from ectoolkit.builders.cpu.lowering.frames import border_of
from ectoolkit.builders.cpu.lowering.rounding import fixed_point, float_factor
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.host import missing_features
from ectoolkit.core.interpreter import interpret
from ectoolkit.core.ops.precise_add import FRACTION
from ectoolkit.passes.precise_add import PreciseAdds
from ectoolkit.passes.residual_add import FuseResidualAdd
from ectoolkit.testing.captured import compiled
from ectoolkit.testing.draws import Draw, scale_of
from ectoolkit.testing.strategies import inputs_of

SLOW = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
HERE = [isa.name for isa in ISAS.values() if isa.host_arch == "x86_64"]


def convolution(source: Draw, builder: GraphBuilder, name: str, x: str, out: int, kernel: tuple[int, int]) -> str:
    """A convolution that keeps its input's size, of stride 1; scales from fitting to far off."""
    channels, numbers = builder.values[x].spec.shape[1], source.numbers
    dilation = 1 if kernel == (1, 1) else source.integer(1, 2)
    weight = numbers.integers(-128, 128, (out, channels, *kernel)).astype(np.int8)
    scales = (numbers.uniform(0.5, 2, out) * 0.01).astype(np.float32)
    fitting = scale_of(builder, x) * 0.01 * 128 * 74 * (channels * kernel[0] * kernel[1]) ** 0.5 / 100
    off = source.draw(st.sampled_from((1.0, 1.0, 1.0, 0.1, 3.0)))
    bias = numbers.normal(0, 20 * fitting, out).astype(np.float32)
    attributes = {
        "stride": (1, 1),
        "padding": tuple(dilation * (size // 2) for size in kernel),
        "dilation": (dilation, dilation),
        "groups": 1,
        "relu": source.chance(),
    }
    return builder.weighted("conv2d", name, x, weight, scales, bias, source.grid(fitting * off), attributes)


@st.composite
def bottlenecks(draw: st.DrawFn) -> Graph:
    """1×1, k×k and 1×1 convolutions with a residual add, and one of stride 2 after them: as in residual networks."""
    source = Draw(draw, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    builder = GraphBuilder("bottleneck")
    channels, inner = source.integer(1, 70), source.integer(1, 37)
    shape = (source.integer(1, 3), channels, source.integer(1, 9), source.integer(1, 17))
    x = builder.node("quantize", "quantize", [builder.input(shape)], source.grid(0.02))
    kernel = draw(st.sampled_from(((1, 1), (3, 3), (5, 3), (1, 3))))
    y = convolution(source, builder, "reduce", x, inner, (1, 1))
    y = convolution(source, builder, "inner", y, inner, kernel)
    y = convolution(source, builder, "expand", y, channels, (1, 1))
    other = convolution(source, builder, "shortcut", x, channels, (1, 1)) if source.chance() else x
    quant = source.grid(scale_of(builder, other) * 1.5)
    operands = [y, other] if source.chance() else [other, y]
    y = builder.node("add", "sum", operands, quant, {"relu": source.chance()})
    weight = source.numbers.integers(-128, 128, (source.integer(1, 40), channels, 3, 3)).astype(np.int8)
    attributes = {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "relu": False}
    scales = np.full(len(weight), 0.01, np.float32)
    z = builder.weighted("conv2d", "strided", y, weight, scales, None, source.grid(2), attributes)
    ends = [builder.node("dequantize", f"out_{name}", [name], None, dtype="float32") for name in (y, z)]
    graph = builder.finish(ends if source.chance() else ends[1:])
    return PreciseAdds()(graph) if source.chance() else FuseResidualAdd()(graph)


@pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")
@pytest.mark.parametrize("isa", HERE)
@settings(SLOW, max_examples=6, phases=[Phase.generate])
@given(graph=bottlenecks(), seed=st.integers(0, 1000))
def test_bottlenecks_equal_the_interpreter(isa: str, graph: Graph, seed: int) -> None:
    if missing_features(ISAS[isa].cpu_features):
        pytest.skip(f"this CPU has no {isa}")
    x = inputs_of(graph, seed)
    run = compiled(graph, "NHWC", isa)
    for values in (x, np.full_like(x, np.inf), np.full_like(x, -np.inf)):
        for found, expected in zip(run(values), interpret(graph, values), strict=True):
            assert_array_equal(found, expected)


def test_padding_is_read_where_it_lies() -> None:
    """A residual block on AVX-512 needs no copy, and its add no kernel."""
    source = Draw(lambda _: 1.0, np.random.default_rng(0))  # type: ignore[arg-type]
    builder, quant = GraphBuilder("block"), None
    x = builder.node("quantize", "quantize", [builder.input((1, 64, 8, 8))], _grid(0.02))
    y = x
    for name, kernel in (("a", 1), ("b", 3), ("c", 1)):
        weight = source.numbers.integers(-128, 128, (64, 64, kernel, kernel)).astype(np.int8)
        attributes = {"stride": (1, 1), "padding": (kernel // 2,) * 2, "dilation": (1, 1), "groups": 1, "relu": False}
        y = builder.weighted(
            "conv2d", name, y, weight, np.full(64, 0.01, np.float32), quant, _grid(0.5 * kernel), attributes
        )
    y = builder.node("add", "sum", [y, x], _grid(0.5), {"relu": True})
    graph = FuseResidualAdd()(builder.finish([builder.node("dequantize", "out", [y], None, dtype="float32")]))
    rows = {row["layer"]: str(row["kernels"]) for row in import_graph(graph, isa="avx512vnni").rows}
    assert [rows[name].split("_")[0] for name in ("a", "b", "sum")] == ["dense"] * 3
    assert all("," not in rows[name] for name in ("a", "b", "sum"))
    assert rows["c"] == "in sum"


@pytest.mark.parametrize("isa", [name for name in ISAS if name not in ("neon", "neoni8mm")])
def test_weights_beyond_the_cache(isa: str) -> None:
    """Weights of the next channels are fetched ahead; what this CPU cannot run is compiled."""
    numbers, builder = np.random.default_rng(0), GraphBuilder("wide")
    x = builder.node("quantize", "quantize", [builder.input((1, 1024, 3, 3))], _grid(0.02))
    weight = numbers.integers(-128, 128, (384, 1024, 1, 1)).astype(np.int8)
    attributes = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "relu": False}
    y = builder.weighted("conv2d", "conv", x, weight, np.full(384, 0.01, np.float32), None, _grid(2.0), attributes)
    graph = builder.finish([builder.node("dequantize", "out", [y], None, dtype="float32")])
    imported = import_graph(graph, isa=isa)
    assert "llvm.prefetch" in str(imported.module)
    if ISAS[isa].host_arch != "x86_64" or missing_features(ISAS[isa].cpu_features):
        compile_module(imported)
        return
    values = inputs_of(graph, 0)
    assert_array_equal(compiled(graph, "NHWC", isa)(values)[0], interpret(graph, values)[0])


def _grid(scale: float):  # type: ignore[no-untyped-def]
    from ectoolkit.core.types import QuantParams

    return QuantParams(np.asarray(scale, np.float32), 0, 0, 255)


@given(
    ratio=st.lists(st.floats(1e-12, 1e6), min_size=1, max_size=20),
    bound=st.integers(1, 2**31 - 1),
    added=st.integers(0, 255),
    seed=st.integers(0, 1000),
)
@settings(SLOW, max_examples=300)
def test_one_shift_for_all_channels(ratio: list[float], bound: int, added: int, seed: int) -> None:
    multiplier, shift = arithmetic.requantize_multiplier(np.array(ratio))
    bounds = np.full(len(ratio), bound)
    form = fixed_point(multiplier, shift, added, (0, 255), bounds)
    if form is None:
        return
    acc = np.random.default_rng(seed).integers(-bound, bound + 1, (len(ratio), 400))
    acc[:, :2] = -bound, bound
    made = (acc * form.multiplier[:, None].astype(np.int64) + (2 * added + 1) * (1 << (form.shift - 1))) >> form.shift
    assert np.abs(made).max() < 2**31
    expected = arithmetic.requantize(acc, multiplier[:, None], shift[:, None]) + added
    assert_array_equal(np.clip(made, 0, 255), np.clip(expected, 0, 255))


def test_usual_layers_have_one_shift() -> None:
    multiplier, shift = arithmetic.requantize_multiplier(np.random.default_rng(0).uniform(8e-4, 6e-3, 512))
    assert fixed_point(multiplier, shift, 3, (0, 255), np.full(512, 2**24)) is not None


def test_multipliers_that_lose_bits_are_moved_until_codes_are_right() -> None:
    """Channels far apart in scale, as pruned ones beside others: the nearest multiplier alone is wrong somewhere."""
    numbers = np.random.default_rng(5)
    multiplier, shift = arithmetic.requantize_multiplier(np.geomspace(2e-6, 3e-3, 40) * numbers.uniform(0.9, 1.1, 40))
    bounds = numbers.integers(4 * 10**5, 6 * 10**5, 40)
    form = fixed_point(multiplier, shift, 0, (0, 255), bounds)
    assert form is not None
    nearest = np.rint(multiplier * 2.0 ** (form.shift - shift))
    assert 0 < np.abs(form.multiplier - nearest).max() <= 3
    acc = np.concatenate(
        [numbers.integers(-bounds[:, None], bounds[:, None] + 1, (40, 20000)), bounds[:, None]], axis=1
    )
    made = (acc * form.multiplier[:, None].astype(np.int64) + (1 << (form.shift - 1))) >> form.shift
    expected = arithmetic.requantize(acc, multiplier[:, None], shift[:, None])
    assert_array_equal(np.clip(made, 0, 255), np.clip(expected, 0, 255))


@given(ratio=st.floats(2e-3, 10.0), zero_point=st.integers(0, 255))
@settings(SLOW, max_examples=200)
def test_codes_are_moved_by_a_whole_number_and_a_fraction(ratio: float, zero_point: int) -> None:
    multiplier, shift = (int(part) for part in arithmetic.requantize_multiplier(ratio * 2.0**FRACTION))
    moved = split_of_codes(multiplier, shift, zero_point)
    if ratio >= 8:
        assert moved is None or moved.settings[0] < 2**15
    if moved is None:
        assert multiplier >> shift >= 2**15 or shift > 22
        return
    whole, fraction, rest, lost = moved.settings
    codes = np.arange(256, dtype=np.int64)
    products = codes * fraction + rest
    assert max(np.abs(products).max(), np.abs(codes * whole).max()) < 2**31
    found = codes * whole + (products >> lost) + moved.added
    assert_array_equal(found, arithmetic.requantize(codes - zero_point, np.int64(multiplier), np.int64(shift)))


@given(ratio=st.floats(1e-4, 60.0))
@settings(SLOW, max_examples=200)
def test_small_numbers_are_rounded_in_float32(ratio: float) -> None:
    multiplier, shift = arithmetic.requantize_multiplier(ratio)
    factor = float_factor(multiplier, shift, 511, -1024, 1024)
    if factor is None:  # ties that are no ties in 24 bits
        return
    points = np.arange(-511, 512)
    product = (points * np.float64(factor)).astype(np.float64)
    expected = arithmetic.requantize(points, multiplier, shift)
    assert_array_equal(np.clip(np.rint(product), -1024, 1024), np.clip(expected, -1024, 1024))


@given(channels=st.integers(1, 300), vectors=st.integers(1, 8), pairs=st.sampled_from(("", "apart", "straight")))
@settings(SLOW, max_examples=200)
def test_lanes_make_every_channel(channels: int, vectors: int, pairs: str) -> None:
    tile = Tile(1, vectors * 2, True, pairs)
    order = tile.order(channels)
    assert len(order) == tile.groups(channels) * tile.channels
    assert set(order.tolist()) - {-1} == set(range(channels))


@pytest.mark.parametrize("columns", [1, 7, 14, 49, 3136])
@pytest.mark.parametrize("channels", [1, 16, 24, 64, 1000])
def test_tiles_fit_the_registers(columns: int, channels: int) -> None:
    for isa in ISAS.values():
        tile = choose_tile(columns, channels, 16, 4096, isa, "")
        assert 1 <= tile.pixels <= columns
        assert tile.pixels * tile.vectors * 16 // isa.lanes < max(isa.registers, 2)


def test_borders_hold_what_is_read() -> None:
    steps = ((2, 2), (3, 3), (1, 1), AVX512VNNI)
    # 7×7 of stride 2 on three channels: rows of 21 bytes are read as 24, the last of which lies beyond the padding
    assert border_of((1, 224, 224, 3), (112, 112), (64, 3, 7, 7), *steps) == (3, 3, 2, 3)
    assert border_of((1, 8, 8, 64), (8, 8), (64, 64, 3, 3), (1, 1), (1, 1), (1, 1), AVX512VNNI) == (1, 1, 1, 1)
    assert border_of((1, 8, 8, 3), (8, 8), (4, 3, 1, 1), (1, 1), (0, 0), (1, 1), AVX512VNNI) == (0, 0, 0, 1)
    assert Frame((1, 8, 8, 3), (1, 2, 3, 4)).stored == (1, 12, 14, 3)
