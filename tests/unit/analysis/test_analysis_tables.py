"""The tables: their columns, dtypes and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from plain_numpy import IMAGES, layers_of, run_all, small

from ectoolkit.analysis import (
    Impact,
    Measurement,
    channel_table,
    compare_states,
    image_table,
    layer_table,
    measure,
    measure_impact,
    sufficiency_table,
)
from ectoolkit.core import metrics
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.statistics import Statistics, TensorStatistics

CONFIG = QuantConfig(method="minmax", weights="per_tensor", weight_bits=5)


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    return small()


@pytest.fixture(scope="module")
def measurement(calibrated: Calibrated) -> Measurement:
    return measure(calibrated.quantize(CONFIG), IMAGES)


@pytest.fixture(scope="module")
def impact(measurement: Measurement) -> Impact:
    return measure_impact(measurement.model, measurement)


def require_plain(table: pd.DataFrame) -> None:
    """What any parquet writer takes: one dtype a column, text without gaps, a plain index."""
    assert isinstance(table.index, pd.RangeIndex)
    assert table.columns.is_unique
    for name, column in table.items():
        if column.dtype in ("float64", "int64", "bool"):
            continue
        assert all(type(value) is str for value in column), name


def test_layer_table_of_a_model(measurement: Measurement, impact: Impact) -> None:
    table = layer_table(measurement.model, measurement, impact)
    require_plain(table)
    rows = table.set_index("layer")
    assert list(rows.index) == ["quant", "first", "second", "add", "pool", "mean", "mean_2", "head", "dequant"]
    assert set(rows["kind"]) == {"integer"}
    second = rows.loc["second"]
    assert (second["op"], second["input"], second["output"]) == ("conv2d", "1×8×12×12", "1×8×12×12")
    assert (rows.loc["first", "op"], rows.loc["add", "input"]) == ("conv2d+relu", "1×8×12×12, 1×8×12×12")
    assert (second["weight_bits"], second["method"], second["clip"]) == (5, "minmax", "")
    assert rows.loc["pool", "method"] == ""
    assert second["macs"] == 8 * 8 * 12 * 12
    weight = measurement.floats.layer("second").weight
    scheme = measurement.model.scheme["second"].weight
    assert weight is not None
    assert scheme is not None
    assert second["weight_sqnr_db"] == pytest.approx(metrics.sqnr_db(weight, scheme.real), rel=1e-5)
    for name in measurement.isolated:
        row = rows.loc["quant" if name in measurement.model.network.inputs else name]
        for kind, known in (("cumulative", measurement.cumulative), ("isolated", measurement.isolated)):
            for measure_name in ("sqnr_db", "cosine", "nmse", "psnr_db", "score", "max_abs_err", "mean_abs_err"):
                assert row[f"{kind}_{measure_name}"] == getattr(known[name], measure_name)
        assert row["saturated_low"] == measurement.cumulative[name].saturated_low
    assert rows.loc["second", "impact_sqnr_db"] == impact.sqnr_db["second"]
    assert np.isnan(rows.loc["dequant", "cumulative_sqnr_db"])


def test_layer_table_without_measurements(calibrated: Calibrated) -> None:
    model = calibrated.quantize(CONFIG.tuned("first", clip=(0, 1.5)))
    table = layer_table(model)
    require_plain(table)
    first = table.set_index("layer").loc["first"]
    assert (first["method"], first["clip"]) == ("by hand", "0 to 1.5")
    values = run_all(model, IMAGES, quantized=False)["first"]
    step = float(first["scale"])
    assert first["saturated_high"] == pytest.approx((values > 1.5 - step / 2).mean(), abs=0.01)
    assert first["saturated_low"] == pytest.approx((values <= step / 2).mean(), abs=0.01)


def test_layer_table_of_a_graph_alone(calibrated: Calibrated) -> None:
    table = layer_table(calibrated.quantize(CONFIG).graph)
    require_plain(table)
    old = ["layer", "op", "output", "dtype", "bits", "macs", "parameters", "scale", "zero_point", "range_min"]
    assert set(old) | {"range_max", "weight_scale_min", "weight_scale_max", "note"} <= set(table.columns)
    assert "method" not in table.columns


@dataclass
class Predicted:
    sqnr_db: float = 30.0
    rounding_db: float = 31.0
    clipping_db: float = 40.0
    weights_db: float = 50.0


def test_predictions(calibrated: Calibrated) -> None:
    name = next(iter(calibrated.network.inputs))
    table = layer_table(calibrated.quantize(CONFIG), predictions={"first": Predicted(), name: Predicted(20.0)})
    require_plain(table)
    rows = table.set_index("layer").filter(like="predicted_")
    assert list(rows.loc["first"]) == [30.0, 31.0, 40.0, 50.0]
    assert rows.loc["quant", "predicted_sqnr_db"] == 20.0
    assert rows.loc["second"].isna().all()


def test_channel_table(measurement: Measurement) -> None:
    model = measurement.model
    table = channel_table(model, "second", measurement)
    require_plain(table)
    values = run_all(model, IMAGES, quantized=False)
    exact, grid = values["second"], model.scheme["second"].grid
    assert grid is not None
    others = (0, 2, 3)
    np.testing.assert_allclose(table["minimum"], exact.min(others), rtol=1e-4)
    np.testing.assert_allclose(table["mean"], exact.mean(others), rtol=1e-4, atol=1e-6)
    codes = np.rint(np.stack([exact.min(others), exact.max(others)]) / grid.scale)
    np.testing.assert_allclose(table["codes_used"], (codes[1] - codes[0] + 1) / 256, atol=1 / 256)
    candidate = layers_of(model, quantized=True)["second"](values["first"])
    weight, scheme = measurement.floats.layer("second").weight, model.scheme["second"].weight
    assert weight is not None
    assert scheme is not None
    for channel in range(8):
        expected = metrics.sqnr_db(exact[:4, channel], candidate[:4, channel])
        assert table["isolated_sqnr_db"][channel] == pytest.approx(expected, rel=1e-3)
        expected = metrics.sqnr_db(weight[channel], scheme.real[channel])
        assert table["weight_sqnr_db"][channel] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert table["weight_scale"].nunique() == 1


def test_channel_table_of_a_layer_without_weights(calibrated: Calibrated) -> None:
    table = channel_table(calibrated.quantize(CONFIG), "add")
    require_plain(table)
    assert len(table) == 8
    assert table["weight_scale"].isna().all()


def test_image_table(calibrated: Calibrated) -> None:
    harsh = {"method": "percentile", "percentile": 60, "weights": "per_tensor", "weight_bits": 2, "activation_bits": 4}
    model = calibrated.quantize(QuantConfig(**harsh))
    table = image_table(model, IMAGES, names=list("abcdef"), labels=["cat", None, 3, "dog", "dog", "dog"])
    require_plain(table)
    reference = run_all(model, IMAGES, quantized=False)["head"]
    candidate = run_all(model, IMAGES, quantized=True)["head"]
    assert list(table["image"]) == list("abcdef")
    assert list(table["label"]) == ["cat", "", "3", "dog", "dog", "dog"]
    assert list(table["float_top1"]) == list(reference.argmax(1))
    assert list(table["quantized_top1"]) == list(candidate.argmax(1))
    assert list(table["flipped"]) == list(reference.argmax(1) != candidate.argmax(1))
    assert table["flipped"].any()
    ordered = np.sort(reference, axis=1)
    np.testing.assert_allclose(table["float_margin"], ordered[:, -1] - ordered[:, -2], rtol=1e-3, atol=1e-5)
    assert ((table["quantized_margin"] < 0) == table["flipped"]).all()
    assert ((table["worst_layer"] != "") == table["flipped"]).all()
    for image in np.flatnonzero(table["flipped"]):
        known = measure_impact(model, IMAGES[image : image + 1])
        assert table["worst_layer"][image] == known.ranking[0]
        assert table["worst_layer_sqnr_db"][image] == pytest.approx(known.sqnr_db[known.ranking[0]], rel=1e-6)
    classes = [f"class {index}" for index in range(reference.shape[1])]
    named = image_table(model, IMAGES, labels=[1, None, 999, "dog", np.int64(0), 0], class_names=classes)
    assert list(named["label"]) == ["class 1", "", "999", "dog", "class 0", "class 0"]
    assert list(named["float_class"]) == [classes[best] for best in named["float_top1"]]
    assert list(named["quantized_class"]) == [classes[best] for best in named["quantized_top1"]]
    assert "float_class" not in table.columns
    given = image_table(model, IMAGES[:4], measurement=measure(model, IMAGES), explain_all=True)
    assert (given["worst_layer"] != "").all()
    assert list(given["sqnr_db"]) == pytest.approx(list(table["sqnr_db"][:4]))


def test_sufficiency() -> None:
    def seen(*highest: float) -> TensorStatistics:
        tensor = TensorStatistics()
        for high in highest:
            tensor.add(torch.tensor([[[[-1.0, high]]]]), "x")
        return tensor

    tensors = {"x": seen(1, 3, 3, 2, 2.99), "y": seen(1, 1, 1, 1, 1.5), "z": seen(2, 1, 1, 1, 1)}
    table = sufficiency_table(Statistics(tensors, tuple("abcde")))
    require_plain(table)
    assert list(table.columns) == ["tensor", "images", "after_1", "after_2", "after_4", "settled_after"]
    assert list(table["after_1"]) == pytest.approx([0.5, 0.8, 1.0])
    assert list(table["after_2"]) == pytest.approx([1.0, 0.8, 1.0])
    assert list(table["settled_after"]) == [2, 5, 1]


def test_compare_states(calibrated: Calibrated, measurement: Measurement) -> None:
    other = calibrated.quantize(CONFIG.tuned("second", weights="per_channel").tuned("add", activation_bits=7))
    table = compare_states(measurement.model, other, measurement, measurement.update(other))
    require_plain(table)
    rows = table.set_index("layer")
    assert rows.loc["second", "difference"] == "weights per_tensor → per_channel"
    assert rows.loc["add", "difference"].startswith("bits 8 → 7, scale ")
    assert list(rows.index[rows["changed"]]) == ["second", "add", "pool"]
    assert rows.loc["second", "isolated_sqnr_db_b"] > rows.loc["second", "isolated_sqnr_db_a"]
    gain = rows["cumulative_sqnr_db_b"] - rows["cumulative_sqnr_db_a"]
    np.testing.assert_allclose(rows["cumulative_gain_db"], gain)
    assert "cumulative_sqnr_db_a" not in compare_states(measurement.model, other).columns


def test_empty_tables_keep_their_dtypes() -> None:
    table = sufficiency_table(Statistics({}, ()))
    assert list(table.columns) == ["tensor", "images", "settled_after"]
    assert table["images"].dtype == "int64"
