"""What the explorer shows: distributions, previews, error maps, the graph's places, columns in words."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from plain_numpy import IMAGES, small

import ectoolkit as ect
from ectoolkit.analysis import (
    Measurement,
    error_map,
    histogram,
    image_errors,
    layer_table,
    layout,
    measure,
    preview,
    sensitivity,
)
from ectoolkit.analysis.columns import Column, describe, extent, strength
from ectoolkit.analysis.plots import draw_layers
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.workflow.pictures import graph_svg, histogram_svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    return small()


@pytest.fixture(scope="module")
def measurement(calibrated: Calibrated) -> Measurement:
    return measure(calibrated.quantize(), IMAGES)


def test_a_histogram_is_the_statistics_joined(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    statistics = model.statistics.tensors["second"]
    found = histogram(model, "second", bins=100)
    assert 50 < len(found.shares) <= 100
    together = round(found.width / 2.0**statistics.exponent)
    first = statistics.bins[:together].sum() / statistics.bins.sum()
    assert found.shares[0] == pytest.approx(first)
    assert found.shares.sum() == pytest.approx(1)
    assert found.begin == statistics.first_bin * 2.0**statistics.exponent
    values = np.concatenate([_second(calibrated, image[None]) for image in IMAGES])
    np.testing.assert_allclose(found.channel_minimum, values.min((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.channel_mean, values.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    inside = (values >= found.begin + 10 * found.width) & (values < found.begin + 20 * found.width)
    assert found.shares[10:20].sum() == pytest.approx(inside.mean(), abs=2e-3)


def _second(calibrated: Calibrated, image: np.ndarray) -> np.ndarray:
    return calibrated.quantize().float_layers(image, ["second"])[1]["second"]


def test_the_range_is_the_grids_until_a_hand_sets_it(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    row = layer_table(model).set_index("layer").loc["add"]
    free = histogram(model, "add")
    assert free.range == (row["range_min"], row["range_max"])
    assert (free.method, free.clip, free.adjustable) == ("typical", None, True)
    clipped = histogram(calibrated.quantize(QuantConfig().tuned("second", clip=(-1, 2))), "second")
    assert (clipped.range, clipped.method, clipped.adjustable) == ((-1.0, 2.0), "by hand", True)


def test_who_keeps_a_grid_has_no_range(calibrated: Calibrated) -> None:
    model = calibrated.quantize(QuantConfig().tuned("head", keep_float=True))
    assert not histogram(model, "head").adjustable
    assert histogram(model, "input0").adjustable


def test_weights_have_a_histogram_too(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    weight = next(layer for layer in model.network.layers if layer.name == "second").weight
    assert weight is not None
    found = histogram(model, "second", "weight")
    np.testing.assert_array_equal(found.channel_maximum, weight.reshape(8, -1).max(axis=1))
    assert found.begin == weight.min()
    assert found.grid is not None
    assert float(found.grid.scalar) == model.scheme["second"].weight.scales.max()  # type: ignore[union-attr]
    assert not found.adjustable


@pytest.mark.parametrize(
    ("hardware", "change"),
    [
        ("", {"clip": (-1.5, 2.0)}),
        ("", {"clip": (-0.01, 0.02)}),
        ("", {"method": "minmax"}),
        ("", {"activation_bits": 5}),
        ("", {"symmetric": True}),
        ("dna", {"clip": (-1.5, 0.5)}),
        ("dna", {"activation_bits": 7}),
    ],
)
@pytest.mark.parametrize("layer", ["second", "input0", "head"])
def test_a_preview_tells_what_tuning_gives(
    calibrated: Calibrated, change: dict[str, Any], layer: str, hardware: str
) -> None:
    before = calibrated.quantize(QuantConfig(hardware=hardware))
    after = calibrated.quantize(before.config.tuned(layer, **change))
    found = preview(before, layer, **change)
    assert found.prediction == after.predictions[layer]
    grid = after.scheme[layer].grid
    assert grid is not None
    assert (found.grid.scalar, found.grid.zero_point) == (grid.scalar, grid.zero_point)
    values = IMAGES if layer == "input0" else before.float_layers(IMAGES, [layer])[1][layer]
    codes = np.rint(values / float(grid.scalar)) + grid.zero_point
    ends = (codes < grid.quant_min).mean(), (codes > grid.quant_max).mean()
    assert (found.clipped_low, found.clipped_high) == pytest.approx(ends, abs=3e-3)


@pytest.mark.parametrize("kind", ["cumulative", "isolated"])
def test_errors_by_image(measurement: Measurement, kind: str) -> None:
    table = image_errors(measurement, kind).set_index("layer")
    sums = getattr(measurement, f"{kind}_by_image")
    assert list(table.columns) == [f"image_{index}_sqnr_db" for index in range(measurement.images)]
    assert table.loc["second", "image_2_sqnr_db"] == sums[2]["second"].sqnr_db
    assert list(table.index)[:2] == ["input0", "first"]


@pytest.mark.parametrize("kind", ["cumulative", "isolated"])
@pytest.mark.parametrize("image", [0, 3])
def test_an_error_map_holds_the_whole_error(measurement: Measurement, kind: str, image: int) -> None:
    sums = getattr(measurement, f"{kind}_by_image")[image]
    found = error_map(measurement, "second", image, kind)
    assert found.shape == (12, 12)
    assert 8 * np.square(found, dtype=np.float64).sum() == pytest.approx(sums["second"].noise, rel=1e-4)
    vector = error_map(measurement, "head", image, kind)
    assert vector.shape == (1, 5)
    assert np.square(vector, dtype=np.float64).sum() == pytest.approx(sums["head"].noise, rel=1e-4)


def opened(html: str) -> tuple[str, ET.Element]:
    """The text that stands for the one image in `html`, and what is in it."""
    (found,) = re.findall(r'<img alt="([^"]*)" width="\d+" style="max-width:100%" src="([^"]*)">', html)
    alt, address = found
    kind, _, data = address.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert "<svg" not in html
    return alt, ET.fromstring(b64decode(data))


@pytest.mark.parametrize("per_row", [3, 20])
def test_layers_have_places_of_their_own(calibrated: Calibrated, per_row: int) -> None:
    graph = calibrated.quantize().graph
    found = layout(graph, per_row)
    assert list(found.names) == ["input0", *(node.name for node in graph.nodes)]
    gaps = np.abs(found.places[:, None] - found.places[None]).max(axis=2)[~np.eye(len(found.names), dtype=bool)]
    assert gaps.min() >= 0.99
    pairs = {(found.names[source], found.names[target]) for source, target in found.edges}
    assert {("first", "second"), ("first", "add"), ("second", "add"), ("quant", "first")} <= pairs
    assert (found.places.min(axis=0) >= 0).all()
    assert (found.places.max(axis=0) <= found.size).all()
    assert found.behind("second") == [
        name for name in found.names if name not in ("input0", "quant", "first", "second")
    ]
    assert found.behind(found.names[-1]) == []
    if per_row == 20:
        assert all(found.places[target, 0] > found.places[source, 0] for source, target in found.edges)
    np.testing.assert_array_equal(found.places, layout(graph, per_row).places)


def test_pictures_are_sound_and_tell_names(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    found = layout(model.graph)
    values = [None, *[float(index) for index in range(len(found.names) - 2)], float("nan")]
    alt, picture = opened(graph_svg(found, values, "high", "dB"))
    assert alt == f"{len(values)} layers as a graph, with a number in dB for each; the table has them by name"
    texts = [[text.text or "" for text in group.iter(f"{SVG}text")] for group in picture.iter(f"{SVG}g")]
    assert texts == [
        [op if len(op) <= 10 else f"{op[:9]}…", "" if value is None or value != value else f"{value:.3g}"]
        for op, value in zip(found.ops, values, strict=True)
    ]
    ground, *boxes = picture.iter(f"{SVG}rect")
    assert (ground.get("fill"), picture.get("color")) == ("#fafafa", "#222222")  # reads on any page
    shades = [float(one.get("fill-opacity", "")) for one in boxes]
    assert shades[0] == shades[-1] == 0
    assert shades[1] == 0.6 > shades[4] > shades[-2] == 0
    html = histogram_svg(histogram(model, "second"))
    assert "<div>second: activation, range typical, " in html
    alt, picture = opened(html)
    assert alt == "distribution of second"
    assert len(list(picture.iter(f"{SVG}path"))) == 2


def test_figures_show_the_tables_numbers(calibrated: Calibrated, measurement: Measurement) -> None:
    table = layer_table(measurement.model, measurement, None, measurement.model.predictions)
    axes = draw_layers(table)
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_array_equal(drawn["isolated_sqnr_db"], table["isolated_sqnr_db"].replace(np.inf, np.nan))
    assert len(draw_layers(table, ["cumulative_sqnr_db"], axes).lines) == 4
    found = histogram(measurement.model, "second")
    patch = found.plot().patches[0]
    np.testing.assert_allclose(patch.get_data().values, found.shares, atol=1e-11)
    ranked = sensitivity(calibrated, QuantConfig(), IMAGES[:2], top=1)
    bars = ranked.plot(top=3).patches
    np.testing.assert_array_equal([bar.get_width() for bar in bars][::-1], ranked.to_frame()["impact_sqnr_db"][:3])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cumulative_sqnr_db", Column("cumulative SQNR", "dB", "high")),
        ("isolated_nmse", Column("isolated NMSE", "", "low")),
        ("isolated_max_abs_err", Column("isolated max abs err", "", "low")),
        ("macs", Column("MACs", "", "")),
        ("latency_ms", Column("latency", "ms", "")),
        ("scale", Column("scale", "real/code", None)),
        ("zero_point", Column("zero point", "", None)),
        ("saturated_high", Column("saturated high", "share", "low")),
    ],
)
def test_columns_in_words(name: str, expected: Column) -> None:
    assert describe(name) == expected


def test_shades_see_past_outliers() -> None:
    values = [*map(float, range(20, 30)), 141.0]
    low, high, better = extent(values, "high")
    assert (low, better) == (pytest.approx(20.2), "high")
    assert high == 29.0
    assert strength(141.0, [low, high, better]) == 0
    assert strength(10.0, [low, high, better]) == 1
    assert strength(float("nan"), [low, high, better]) is None
    assert extent([1.0, 1.0, float("nan")], "low") == extent([1.0, 2.0], None) == []
    assert strength(1.0, []) is None


def test_the_stage_hands_all_of_it_out(calibrated: Calibrated) -> None:
    import torch
    from plain_numpy import Small

    torch.manual_seed(0)
    flow = ect.Flow(Small().eval(), calibration=IMAGES)
    flow.quantize.run()
    assert flow.quantize.source_of("quant") == "input0"
    assert flow.quantize.source_of("second") == "second"
    flow.quantize.tune("quant", clip=(-2.0, 2.0))
    assert flow.quantize.histogram("quant").clip == (-2.0, 2.0)
    assert (flow.quantize.can_undo, flow.quantize.can_redo) == (True, False)
    flow.quantize.undo()
    assert (flow.quantize.can_undo, flow.quantize.can_redo) == (False, True)
    html = flow.quantize._repr_mimebundle_()["text/html"]
    assert "<summary>graph by cumulative SQNR dB</summary>" in html
    assert html.count('src="data:image/svg+xml;base64,') == 2
    assert len(flow.quantize.plot().lines) == 3
